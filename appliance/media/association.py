"""DTLS of one PeerConnection and what stands on it: early datagrams, SRTP keys, data channels."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from appliance.core.clock import Clock
from appliance.core.events import DATA_FAULT, DtlsAlert, DtlsDetail, DtlsState, MediaFault
from appliance.core.peer import PeerObserver
from appliance.media.config import EARLY_DATAGRAMS, MAX_REMOTE_ADDRESSES
from appliance.media.dtls import Dtls, DtlsStage
from appliance.media.identity import DtlsIdentity
from appliance.media.negotiation import NegotiatedLine, Offer, remote_data
from appliance.media.pair import Pair
from appliance.media.port import Port
from appliance.media.sctp import DataChannels
from appliance.media.stats import dtls_detail

if TYPE_CHECKING:
    from appliance.media.peer import Peer

logger = logging.getLogger(__name__)

SLOW_SECONDS = 2.0
"""A handshake takes three round trips; one that takes longer than this is told of while it lasts."""


class Association:
    """Implements :class:`appliance.media.dtls.DtlsObserver` for ``peer``.

    ``timeout`` is in seconds, from the first flight; data and channels are told to ``observer``.
    """

    def __init__(
        self, peer: "Peer", identity: DtlsIdentity, clock: Clock, observer: PeerObserver, *, timeout: float
    ) -> None:
        self.dtls: Dtls | None = None
        self.channels: DataChannels | None = None
        self.deadline = float("inf")
        """Monotonic: when a handshake is given up."""
        self.secrets: Callable[[str], None] | None = None
        """Is told the master secret, while somebody records with keys."""
        self._peer = peer
        self._identity = identity
        self._clock = clock
        self._observer = observer
        self._timeout = timeout
        self._early: dict[tuple[Port, bytes], list[bytes]] = {}
        self._told: DtlsDetail | None = None

    @property
    def is_new(self) -> bool:
        """It is known who the other side is, and no handshake has begun."""
        return self.dtls is not None and self.dtls.stage is DtlsStage.NEW

    def begin(self, remote: Offer) -> None:
        """Take the other side's role and fingerprints, the first time."""
        if self.dtls is None:
            self.dtls = Dtls(
                self._identity,
                self._clock,
                self,
                self._peer.path.send_raw,
                is_client=remote.setup == "passive",
                fingerprints=remote.fingerprints,
                round_trip=self._round_trip,
            )

    def _round_trip(self) -> float | None:
        """Of the pair in use, in seconds; ``None`` until a check of ours is answered."""
        pair = self._peer.ice.selected
        return None if pair is None or pair.rtt_ms is None else pair.rtt_ms / 1000

    def is_with(self, remote: Offer) -> bool:
        """Whether a description's fingerprints are those of this association."""
        return self.dtls is None or any(item in remote.fingerprints for item in self.dtls.expected)

    def start(self, pair: Pair) -> None:
        """Shake hands on the first selected pair."""
        assert self.dtls is not None, "the other side is known"
        self.deadline = self._clock.monotonic() + self._timeout
        self._peer.mark("handshake-started")
        self._peer.emit(DtlsState(dtls="trying"))
        self.dtls.start()
        early, self._early = self._early, {}
        for datagram in early.get((pair.port, pair.key), ()):
            if not self._peer.closed:
                self.dtls.receive(datagram)

    def datagram(self, port: Port, key: bytes, data: bytes) -> bool:
        """Take one from a proven address; false when there was no room to keep it."""
        if self.dtls is not None and self.dtls.stage is not DtlsStage.NEW:
            self.dtls.receive(data)
            return True
        # The browser's ClientHello often comes before it nominates; without it 60 ms are lost, or a second.
        flight = self._early.setdefault((port, key), [])
        if len(flight) >= EARLY_DATAGRAMS or len(self._early) > MAX_REMOTE_ADDRESSES:
            return False
        flight.append(data)
        return True

    def start_channels(self, negotiated: tuple[NegotiatedLine, ...]) -> None:
        """Speak SCTP, where an m-line is for it and nothing does yet."""
        if self.channels is not None or self.dtls is None:
            return
        for item in negotiated:
            if item.medium.kind == "application" and not item.medium.rejected:
                port, size = remote_data(item.offered)
                self.channels = DataChannels(
                    self.dtls,
                    remote_port=port,
                    max_message_bytes=size,
                    opened=self._data_opened,
                    received=self._data_received,
                )
                return

    def tell_faults(self) -> None:
        """Emit what data channels have dropped since the last call."""
        for why, count in self.channels.new_errors().items() if self.channels is not None else ():
            self._peer.emit(MediaFault(kind=f"{DATA_FAULT}{why}", count=count))

    def tell(self) -> None:
        """Emit what was agreed on, when it is news."""
        detail = dtls_detail(self.dtls)
        if detail is not None and detail != self._told:
            self._told = detail
            self._peer.emit(detail)

    def tell_while_slow(self, now: float) -> None:
        """A handshake that takes long tells what has come of it, so that it is judged before it is given up."""
        if self.deadline - self._timeout + SLOW_SECONDS <= now < self.deadline:
            self.tell()

    def close(self) -> None:
        """Say goodbye, and forget what came early."""
        if self.channels is not None:
            self.channels.close()
        if self.dtls is not None:
            self.dtls.close()
        self._early.clear()

    def let_go(self) -> None:
        """Know nobody any more: nothing happens after :meth:`close`."""
        del self._peer, self._observer
        self.dtls = self.channels = None

    # --- what DTLS tells ---------------------------------------------------------------------------------

    def dtls_retransmitted(self, count: int) -> None:
        """A flight was sent again."""
        self._peer.emit(DtlsState(dtls="trying", retransmissions=count))

    def dtls_connected(self) -> None:
        """Set up SRTP: the PeerConnection is up."""
        assert self.dtls is not None, "it is what tells"
        dtls, peer = self.dtls, self._peer
        self.deadline = float("inf")
        keys = dtls.keys()
        if keys is None and any(line.is_rtp for line in peer.lines):
            peer.emit(DtlsState(dtls="failed", retransmissions=dtls.retransmissions))
            self.tell()
            peer.close("DTLS-SRTP stack error")
            return
        peer.mark("dtls-connected")
        peer.emit(DtlsState(dtls="connected", retransmissions=dtls.retransmissions))
        self.tell()
        if keys is not None and dtls.profile is not None:
            peer.path.set_keys(*keys, dtls.profile)
        peer.came_up()

    def dtls_failed(self, reason: str) -> None:
        """The handshake or the association is over."""
        assert self.dtls is not None, "it is what tells"
        self._peer.emit(DtlsState(dtls="failed", retransmissions=self.dtls.retransmissions))
        self.tell()
        self._peer.close(reason)

    def dtls_secret(self, line: str) -> None:
        """The master secret, while somebody records with keys."""
        if self.secrets is not None:
            self.secrets(line)

    def dtls_alert(self, alert: DtlsAlert) -> None:
        """An alert came or went; what it means comes with a call of its own."""

    def dtls_closed(self) -> None:
        """The client has closed its PeerConnection."""
        self._peer.close("DTLS alert")

    def dtls_data(self, data: bytes) -> None:
        """An SCTP packet."""
        if self.channels is not None:
            self.channels.receive(data)

    def _data_opened(self, label: str, protocol: str) -> None:
        try:
            self._observer.data_opened(label, protocol)
        except Exception:
            logger.exception("an observer failed at a data channel that opened")

    def _data_received(self, label: str, protocol: str, message: str | bytes) -> None:
        try:
            self._observer.data(label, protocol, message)
        except Exception:
            logger.exception("an observer failed at a data channel message")
