"""Flights of a handshake that are lost, on a clock of our own: when they go again, and that OpenSSL takes them."""

import pytest
from OpenSSL import SSL

from appliance.core.events import DtlsAlert
from appliance.media.dtls import Dtls, DtlsStage
from appliance.media.flight import INITIAL_LEAST, INITIAL_UNKNOWN, MOST
from appliance.wire.dtls import split_records
from tests.clock import FakeClock
from tests.media.client import IDENTITY


class End:
    """One end; what it sends waits in ``sent`` with its time."""

    def __init__(self, clock: FakeClock, *, is_client: bool, round_trip: float | None = None) -> None:
        self.sent: list[tuple[float, bytes]] = []
        self.dtls = Dtls(
            IDENTITY,
            clock,
            self,
            lambda data: self.sent.append((clock.now, data)),
            is_client=is_client,
            fingerprints=(IDENTITY.fingerprint,),
            round_trip=lambda: round_trip,
        )
        self.dtls.start()

    def take(self) -> list[bytes]:
        taken = [data for _, data in self.sent]
        self.sent.clear()
        return taken

    def hear(self, datagrams: list[bytes]) -> None:
        for data in datagrams:
            self.dtls.receive(data)

    def dtls_retransmitted(self, count: int) -> None: ...
    def dtls_connected(self) -> None: ...
    def dtls_failed(self, reason: str) -> None: ...
    def dtls_secret(self, line: str) -> None: ...
    def dtls_alert(self, alert: DtlsAlert) -> None: ...
    def dtls_closed(self) -> None: ...
    def dtls_data(self, data: bytes) -> None: ...


def _records(datagrams: list[bytes]) -> list[bytes]:
    return [record for data in datagrams for record in split_records(data)]


def numbers(datagrams: list[bytes]) -> list[bytes]:
    return [record[3:11] for record in _records(datagrams)]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(autouse=True)
def openssl_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenSSL's timer runs by the machine's clock, and a test that is held up for a second would meet it."""
    monkeypatch.setattr(SSL.Connection, "DTLSv1_get_timeout", lambda _self: 3600.0)
    monkeypatch.setattr(SSL.Connection, "DTLSv1_handle_timeout", lambda _self: False)


@pytest.mark.parametrize(
    ("round_trip", "first"),
    [(None, INITIAL_UNKNOWN), (0.02, INITIAL_LEAST), (0.2, 0.4), (3.0, MOST)],
)
def test_a_flight_goes_again_after_two_round_trips_then_half_as_often(
    clock: FakeClock, round_trip: float | None, first: float
) -> None:
    end = End(clock, is_client=True, round_trip=round_trip)
    began = clock.now
    clock.advance(3 * MOST)
    times = [round(when - began, 6) for when, _ in end.sent]
    wanted, wait = [0.0], first
    while wanted[-1] + wait <= 3 * MOST:
        wanted.append(round(wanted[-1] + wait, 6))
        wait = min(2 * wait, MOST)
    assert times == wanted
    assert end.dtls.retransmissions == len(wanted) - 1
    hellos = end.take()
    # RFC 6347 section 4.2.4: the same messages in records of other numbers
    assert len(set(numbers(hellos))) == len(wanted)
    assert len({data[11:] for data in hellos}) == 1


@pytest.mark.parametrize("lost", ["hello", "server", "client"])
def test_a_handshake_gets_over_a_lost_flight_before_openssl_would_repeat_it(clock: FakeClock, lost: str) -> None:
    client, server = End(clock, is_client=True, round_trip=0.02), End(clock, is_client=False, round_trip=0.02)
    for flight in ("hello", "server", "client", "finished"):
        sender, hearer = (client, server) if flight in {"hello", "client"} else (server, client)
        if flight == lost:
            sender.take()
            clock.advance(INITIAL_LEAST)
        hearer.hear(sender.take())
    assert client.dtls.stage is server.dtls.stage is DtlsStage.CONNECTED
    assert client.dtls.retransmissions + server.dtls.retransmissions >= 1
    assert client.dtls.keys() is not None
    own, other = server.dtls.keys() or (b"", b"")
    assert client.dtls.keys() == (other, own)
    clock.advance(10 * MOST)
    assert not client.sent
    assert not server.sent


def test_what_the_peer_says_again_is_answered_at_once(clock: FakeClock) -> None:
    """RFC 9147 section 5.8.1; but not what the network has only doubled."""
    client, server = End(clock, is_client=True, round_trip=0.2), End(clock, is_client=False, round_trip=3.0)
    hello = client.take()
    server.hear(hello)
    first = server.take()
    server.hear(hello)
    assert not server.sent
    clock.advance(0.4)
    assert not server.sent
    server.hear(client.take())
    again = server.take()
    assert server.dtls.retransmissions == 1
    assert [record[13:] for record in _records(again)] == [record[13:] for record in _records(first)]
    assert not set(numbers(first)) & set(numbers(again))
    client.hear(again)
    server.hear(client.take())
    client.hear(server.take())
    assert client.dtls.stage is DtlsStage.CONNECTED
