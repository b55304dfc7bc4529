"""DTLS of one peer, driven by its datagrams: bytes in, bytes out, facts to an observer (RFC 6347, RFC 5764).

One certificate and one OpenSSL context serve the whole process; making them for each peer, as libraries do, costs
more than the handshake. We are the server unless the client insists on being it: then we choose the SRTP profile, and
whatever is lost but our first flight is repeated at the browser's timer, which begins at 50 ms; OpenSSL's is a second.
"""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Protocol

from cryptography import x509
from OpenSSL import SSL

from appliance.core.clock import Clock, Timer
from appliance.core.events import DtlsAlert
from appliance.media import srtp
from appliance.media.config import MTU
from appliance.media.flight import Flight
from appliance.media.handshake import PeerHandshake
from appliance.media.identity import DtlsIdentity, fingerprint_of, preferred
from appliance.wire.description import Fingerprint
from appliance.wire.dtls import alert_name, content_name, split_records

__all__ = ["STAGES", "Dtls", "DtlsIdentity", "DtlsObserver", "DtlsStage"]

_EXPORTER_LABEL = b"EXTRACTOR-dtls_srtp"


class DtlsStage(Enum):
    """How far a handshake is; see :data:`STAGES`."""

    NEW = "new"
    TRYING = "trying"
    CONNECTED = "connected"
    FAILED = "failed"
    CLOSED = "closed"


STAGES: dict[DtlsStage, frozenset[DtlsStage]] = {
    DtlsStage.NEW: frozenset({DtlsStage.TRYING, DtlsStage.CLOSED}),
    DtlsStage.TRYING: frozenset({DtlsStage.CONNECTED, DtlsStage.FAILED, DtlsStage.CLOSED}),
    DtlsStage.CONNECTED: frozenset({DtlsStage.FAILED, DtlsStage.CLOSED}),
    DtlsStage.FAILED: frozenset({DtlsStage.CLOSED}),
    DtlsStage.CLOSED: frozenset(),
}


class DtlsObserver(Protocol):
    """What a handshake tells; calls come from within :meth:`Dtls.receive` or a timer."""

    def dtls_retransmitted(self, count: int) -> None:
        """A flight was sent again, for the ``count``-th time."""

    def dtls_connected(self) -> None:
        """The handshake is done and the fingerprint is right."""

    def dtls_failed(self, reason: str) -> None:
        """It can't be done. ``reason`` is a hangup reason: ``DTLS alert`` or ``DTLS error``."""

    def dtls_secret(self, line: str) -> None:
        """A line of an SSLKEYLOGFILE."""

    def dtls_alert(self, alert: DtlsAlert) -> None:
        """An alert came or went."""

    def dtls_closed(self) -> None:
        """The peer has said close_notify."""

    def dtls_data(self, data: bytes) -> None:
        """Application data: an SCTP packet."""


class Dtls:
    """One association. :meth:`start` it when ICE has a pair; ``send`` then takes what is to go to the peer.

    ``round_trip`` is in seconds, as far as it is known.
    """

    def __init__(
        self,
        identity: DtlsIdentity,
        clock: Clock,
        observer: DtlsObserver,
        send: Callable[[bytes], None],
        *,
        is_client: bool,
        fingerprints: Sequence[Fingerprint],
        round_trip: Callable[[], float | None] = lambda: None,
    ) -> None:
        self.stage = DtlsStage.NEW
        self.has_begun = False
        self.is_client = is_client
        self.expected = preferred(fingerprints)
        self.found: Fingerprint | None = None
        """Of the certificate that came."""
        self.retransmissions = 0
        self.records_received: dict[str, int] = {}
        self.records_sent: dict[str, int] = {}
        self.packets_received = self.packets_sent = self.bytes_received = self.bytes_sent = 0
        """DTLS records and their bytes, which is what Janus counts for a data medium."""
        self.heard = PeerHandshake()
        self.last_alert: DtlsAlert | None = None
        self.profile: srtp.Profile | None = None
        self.version: str | None = None
        self.cipher: str | None = None
        self._clock = clock
        self._observer = observer
        self._send = send
        self._timer: Timer | None = None
        self._flight = Flight()
        self._round_trip = round_trip
        self._connection = SSL.Connection(identity.context, None)
        self._connection.set_app_data(self)
        self._connection.set_ciphertext_mtu(MTU)
        if is_client:
            self._connection.set_connect_state()
        else:
            self._connection.set_accept_state()

    @property
    def role(self) -> str:
        """Ours: server or client."""
        return "client" if self.is_client else "server"

    def start(self) -> None:
        """Begin; as a client, with a ClientHello."""
        self.has_begun = True
        self._to(DtlsStage.TRYING)
        self._handshake()

    def receive(self, datagram: bytes) -> None:
        """Take a datagram of the peer. Never raises by what it holds."""
        received = split_records(datagram)
        self._count_received(received)
        if self.stage not in {DtlsStage.TRYING, DtlsStage.CONNECTED}:
            return
        self._connection.bio_write(datagram)
        if self.stage is DtlsStage.TRYING:
            is_asked_for = self._flight.is_asked_for(received, self._clock.monotonic())
            if not self._handshake() and is_asked_for:
                self._repeat()
        while self.stage is DtlsStage.CONNECTED:
            try:
                data = self._connection.recv(65_536)
            except SSL.WantReadError:
                break
            except SSL.ZeroReturnError:
                self._flush()
                self._observer.dtls_closed()
                return
            except SSL.Error:
                self._fail()
                return
            self._observer.dtls_data(data)
        if self.stage is DtlsStage.CONNECTED:
            self._flush()

    def send_data(self, data: bytes) -> bool:
        """Send application data; false when there is no association."""
        if self.stage is not DtlsStage.CONNECTED:
            return False
        try:
            self._connection.send(data)
        except SSL.Error:
            return False
        self._flush()
        return True

    def keys(self) -> tuple[bytes, bytes] | None:
        """SRTP keys for what we send and what we receive; ``None`` without a common profile."""
        if self.profile is None:
            return None
        material = self._connection.export_keying_material(_EXPORTER_LABEL, self.profile.material_bytes)
        client, server = self.profile.split(material)
        return (client, server) if self.is_client else (server, client)

    def close(self) -> None:
        """Say close_notify where there is an association, and forget it."""
        if self.stage is DtlsStage.CLOSED:
            return
        if self.stage is DtlsStage.CONNECTED:
            try:
                self._connection.shutdown()
            except SSL.Error:
                pass
            self._flush()
        self._cancel()
        self._to(DtlsStage.CLOSED)
        # OpenSSL calls back no more. Its memory returns now, and not when Python next looks for circles.
        self._connection.set_app_data(None)
        del self._connection

    def verify(self, certificate: x509.Certificate) -> bool:
        """Whether a certificate is that of the description: called by OpenSSL when it has come."""
        algorithm = self.expected[0].algorithm if self.expected else "sha-256"
        self.found = fingerprint_of(certificate, algorithm)
        return self.found in self.expected

    def secret(self, line: str) -> None:
        """OpenSSL has a secret."""
        self._observer.dtls_secret(line)

    def alerted(self, direction: str, value: int) -> None:
        """OpenSSL read or wrote an alert: level and code in one number."""
        level, code = value >> 8, value & 0xFF
        if direction == "sent" and code == 0 and self.last_alert is not None:
            return  # the close_notify with which every end is answered hides no other alert
        self.last_alert = DtlsAlert(direction, "fatal" if level == 2 else "warning", code, alert_name(code))
        self._observer.dtls_alert(self.last_alert)

    def _to(self, stage: DtlsStage) -> None:
        if stage not in STAGES[self.stage]:
            raise ValueError(f"DTLS can't go from {self.stage.value} to {stage.value}")
        self.stage = stage

    def _handshake(self) -> bool:
        """Go on with it; whether there was something to say."""
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            has_spoken = self._flush()
            self._arm()
            return has_spoken
        except SSL.Error:
            self._fail()
            return True
        self._flush()
        self._cancel()
        self._flight.done()
        if self.found is None or self.found not in self.expected:
            self._fail()
            return True
        name = self._connection.get_selected_srtp_profile().decode()
        self.profile = next((profile for profile in srtp.PROFILES if profile.name == name), None)
        self.version = self._connection.get_protocol_version_name()
        self.cipher = self._connection.get_cipher_name()
        self._to(DtlsStage.CONNECTED)
        self._observer.dtls_connected()
        return True

    def _fail(self) -> None:
        self._flush()
        self._cancel()
        self._to(DtlsStage.FAILED)
        self._observer.dtls_failed("DTLS error" if self.last_alert is None else "DTLS alert")

    def _arm(self) -> None:
        self._cancel()
        theirs = self._connection.DTLSv1_get_timeout()
        if theirs is not None:
            # OpenSSL's clock is not ours: a timer that fires a hair early would find nothing to do.
            due = min(theirs + 0.002, self._flight.due_in(self._clock.monotonic()))
            self._timer = self._clock.call_later(due, self._timed_out)

    def _timed_out(self) -> None:
        self._timer = None
        if self.stage is DtlsStage.TRYING:
            self._repeat()

    def _repeat(self) -> None:
        """Send the last flight again: one that OpenSSL writes anew, if it is time for that."""
        try:
            self._connection.DTLSv1_handle_timeout()
        except SSL.Error:
            self._fail()
            return
        self._put(self._flight.again(self._clock.monotonic(), self._written()))
        self._arm()
        self.retransmissions += 1
        self._observer.dtls_retransmitted(self.retransmissions)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _flush(self) -> bool:
        """Send what OpenSSL wrote; whether it wrote anything."""
        written = self._written()
        if not written:
            return False
        if self.stage is DtlsStage.TRYING:
            self._put(self._flight.written(written, self._clock.monotonic(), self._round_trip()))
        else:
            self._put(self._flight.numbered(written))
        return True

    def _written(self) -> list[bytes]:
        """The records that OpenSSL wrote."""
        written: list[bytes] = []
        while True:
            try:
                written.append(self._connection.bio_read(65_536))
            except SSL.Error:
                return split_records(b"".join(written))

    def _put(self, flight: list[bytes]) -> None:
        """Send records. Memory BIOs lose the bounds of datagrams, so they are drawn anew."""
        datagram = b""
        for record in flight:
            self.packets_sent += 1
            self.bytes_sent += len(record)
            _increment(self.records_sent, record[0])
            if datagram and len(datagram) + len(record) > MTU:
                self._send(datagram)
                datagram = b""
            datagram += record
        if datagram:
            self._send(datagram)

    def _count_received(self, received: list[bytes]) -> None:
        for record in received:
            self.packets_received += 1
            self.bytes_received += len(record)
            _increment(self.records_received, record[0])
            self.heard.take(record)


def _increment(counts: dict[str, int], content_type: int) -> None:
    name = content_name(content_type)
    counts[name] = counts.get(name, 0) + 1
