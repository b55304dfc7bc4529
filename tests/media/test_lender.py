"""A TURN server that is asked: what is wrong with it costs its own candidates, is counted, and is told once."""

import asyncio
import hashlib
import logging
from pathlib import Path
from typing import Any, cast

import pytest
from aioice import stun as aioice_stun

from appliance.media import gathering as gathering_module
from appliance.media import lender as lender_module
from appliance.media.access import Access
from appliance.media.allocation import TurnRefusedError, UdpTurnClient
from appliance.media.config import MediaConfig
from appliance.media.gathering import Gathering
from appliance.media.lender import RETRY_SECONDS, Lender
from appliance.media.servers import Login, TurnServer
from appliance.wire import stun
from tests.clock import FakeClock
from tests.media.test_turn import TurnClient

SERVER = TurnServer(url="turn:turn.example", username="gateway", password="between us")


def refused(code: int) -> TurnRefusedError:
    response = aioice_stun.Message(aioice_stun.Method.ALLOCATE, aioice_stun.Class.ERROR)
    if code:
        response.attributes["ERROR-CODE"] = (code, "No")
    return TurnRefusedError(response)


class Asked:
    """Takes the place of the network: what each IP version is answered, an address where nothing is."""

    def __init__(self, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: dict[int, OSError] = {}
        self.calls: list[int] = []
        monkeypatch.setattr(lender_module, "allocated", self._allocated)
        self.lender = Lender("turn_servers[0]", SERVER, clock, lambda *_: None)

    async def _allocated(self, access: Access, family: int, _context: Any) -> Any:
        assert access.login == Login("gateway", "between us")
        self.calls.append(family)
        if family in self.answers:
            raise self.answers[family]
        return TurnClient("203.0.113.5" if family == 4 else "2001:db8::5")

    def counts(self) -> dict[tuple[str, ...], float]:
        return {tuple(count.labels.values())[1:] or ("lent",): count.value for count in self.lender.measure()}


@pytest.fixture
def asked(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(clock, monkeypatch)


@pytest.mark.parametrize(
    ("code", "reason"),
    [(401, "credentials"), (441, "credentials"), (403, "forbidden"), (486, "quota"), (508, "capacity"),
     (437, "refused"), (438, "refused"), (300, "refused"), (0, "refused"), (None, "unreachable")],
)  # fmt: skip
async def test_a_refusal_is_counted_and_told_once(
    asked: Asked, clock: FakeClock, caplog: pytest.LogCaptureFixture, code: int | None, reason: str
) -> None:
    for family in (4, 6):
        asked.answers[family] = ConnectionError("no answer within 5 s") if code is None else refused(code)
    for _ in range(3):
        await asked.lender._ask()
    assert asked.counts() == {("lent",): 0, (reason,): 6}
    assert len(caplog.records) == 2
    assert caplog.records[0].getMessage() == "TURN server turn.example:3478/udp, for an IPv4 address: " + (
        "no answer within 5 s" if code is None else f"refused with {code} {'No' if code else ''!r}"
    )
    assert "between us" not in caplog.text
    assert asked.lender._next_attempt == clock.monotonic() + 4 * RETRY_SECONDS[0]


async def test_one_ip_version_that_is_not_lent_does_not_keep_back_the_other(asked: Asked, clock: FakeClock) -> None:
    asked.answers[6] = refused(486)
    await asked.lender._ask()
    assert asked.counts() == {("lent",): 1, ("quota",): 1}
    asked.answers[6] = refused(440)
    await asked.lender._ask()
    await asked.lender._ask()
    assert asked.calls == [4, 6, 6]
    del asked.answers[6]
    await asked.lender._ask()
    assert list(asked.lender.relays) == [4]


async def test_an_address_that_is_lost_is_asked_for_again(asked: Asked, clock: FakeClock) -> None:
    await asked.lender._ask()
    relays = dict(asked.lender.relays)
    relays[4].received = 7
    clock.advance(100.0)
    relays[4].connection_lost(None)
    assert list(asked.lender.relays) == [6]
    assert asked.lender._next_attempt == clock.monotonic()
    await asked.lender._ask()
    assert asked.calls == [4, 6, 4]
    assert asked.lender.relayed("received") == 7
    # The next is lost as soon as it is lent.
    asked.lender.relays[4].connection_lost(None)
    assert asked.lender._next_attempt == clock.monotonic() + RETRY_SECONDS[0]
    assert asked.counts() == {("lent",): 1, ("lost",): 2}


async def test_a_file_that_can_t_be_read_names_its_setting(clock: FakeClock, tmp_path: Path) -> None:
    missing = str(tmp_path / "none.pem")
    for server, setting in (
        (TurnServer(url="turns:a", ca_file=missing), "ca_file"),
        (TurnServer(url="turn:a", password_file=missing), "password_file"),
        (TurnServer(rest_api="https://a", rest_api_key_file=missing), "rest_api_key_file"),
    ):
        with pytest.raises(ValueError, match=rf"^turn_servers\[2\].{setting}: {missing}: No such file"):
            Lender("turn_servers[2]", server, clock, lambda *_: None)


class Wire(asyncio.DatagramTransport):
    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []

    def sendto(self, data: Any, _address: Any = None) -> None:
        self.sent.append(bytes(data))

    def is_closing(self) -> bool:
        return False


async def test_an_ipv6_address_is_asked_for_in_a_signed_request() -> None:
    client = UdpTurnClient(("192.0.2.1", 3478), "gateway", "between us", 600, 600)
    client.family = 6
    wire = Wire()
    client.connection_made(wire)
    asking = asyncio.create_task(client.connect())
    await asyncio.sleep(0)
    first = stun.parse(wire.sent[0])
    challenge = aioice_stun.Message(
        aioice_stun.Method.ALLOCATE, aioice_stun.Class.ERROR, transaction_id=first.transaction_id,
        attributes={"ERROR-CODE": (401, "Unauthorized"), "REALM": "test", "NONCE": b"1"},
    )  # fmt: skip
    client.datagram_received(bytes(challenge), ("192.0.2.1", 3478))
    for _ in range(3):
        await asyncio.sleep(0)
    signed = wire.sent[-1]
    # REQUESTED-ADDRESS-FAMILY (RFC 8656 section 18.5): type 0x0017, 4 bytes, IPv6.
    assert [data[20:28].hex() for data in (wire.sent[0], signed)] == ["0017000402000000"] * 2
    key = hashlib.md5(b"gateway:test:between us", usedforsecurity=False).digest()
    assert stun.parse(signed).verify_integrity(signed, key)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


async def test_a_message_that_can_t_be_read_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "appliance")
    client = UdpTurnClient(("192.0.2.1", 3478), "gateway", "between us", 600, 600)
    client.receiver = cast(Any, object())
    client.channel_to_peer[0x4000] = ("192.0.2.9", 5000)
    client.datagram_received(b"\x40\x00\x00\x01x", ("192.0.2.1", 3478))
    assert "a message of the TURN server was dropped" in caplog.text


async def test_the_start_does_not_wait_for_a_server_that_is_slow(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def silent(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(lender_module, "allocated", silent)
    monkeypatch.setattr(gathering_module, "GATHER_SECONDS", 0.01)
    gathering = Gathering(MediaConfig(ice="full", turn_servers=[SERVER]), [], clock, lambda *_: None)
    await gathering.start()
    assert "not every STUN and TURN server has answered yet" in caplog.text
    assert list(gathering.candidates()) == []
    await gathering.stop()


async def test_a_bug_is_logged_and_ends_nothing(
    asked: Asked, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    asked.answers[4] = cast(OSError, ValueError("of a bug"))
    running = asyncio.create_task(asked.lender.run())
    await asked.lender.settled.wait()
    assert "TURN server turn.example:3478/udp could not be asked" in caplog.text
    assert "ValueError: of a bug" in caplog.text
    assert asked.lender._next_attempt == clock.monotonic() + RETRY_SECONDS[1]
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
