"""Data channels: aiortc's SCTP over our DTLS, behind a shim.

Peers are not trusted to speak well, and aiortc's handlers assert and decode: whatever escapes is caught here, counted,
and costs one packet. What a peer can make us keep is bounded, which its SCTP leaves to the peer's honesty.
"""

import logging
from collections.abc import Callable, Coroutine
from typing import Any

from aiortc.rtcdatachannel import RTCDataChannel
from aiortc.rtcsctptransport import RTCSctpCapabilities, RTCSctpTransport
from pyee.asyncio import AsyncIOEventEmitter

from appliance.media.config import MAX_BUFFERED_BYTES, MAX_DATA_CHANNELS
from appliance.media.dtls import Dtls, DtlsStage
from appliance.media.sctp_guard import is_harmful
from appliance.media.share import Share

logger = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 262_144
"""What our description says that we take."""
MAX_OUT_OF_ORDER = 4096
"""Chunks that wait for one before them; each costs far more than its bytes."""
MAX_FRAGMENTS = 4096
"""Chunks of messages that are not whole yet: each further one has aiortc look at all of its stream's again."""
MAX_STREAMS = 1024
"""SCTP streams that a peer has sent on."""
MAX_QUEUED = 2048
"""Messages and chunks to the peer that wait or are not acknowledged; aiortc looks for each among all of them."""
MAX_NAME_LENGTH = 1024
"""Of a channel's label and protocol together, in characters."""
MAX_DUPLICATES = 4096
"""TSNs that came twice and were not told in a SACK, because what came with them was refused."""
SHARE = 0.2
"""Of the processor, for the packets of one peer; some cost thousands of times what they cost their sender."""
SHARE_BURST = 0.5
"""Seconds that a peer may take at once."""
_OVERDRAWN_BYTES = 1_048_576
"""How far beyond the window that we told it a peer may send."""


class _Transport(AsyncIOEventEmitter):
    """What RTCSctpTransport needs of an RTCDtlsTransport."""

    def __init__(self, dtls: Dtls) -> None:
        super().__init__()
        self._dtls = dtls
        self.receiver: Any = None

    @property
    def state(self) -> str:
        return "connected" if self._dtls.stage is DtlsStage.CONNECTED else "closed"

    @property
    def _role(self) -> str:
        return self._dtls.role

    def _register_data_receiver(self, receiver: Any) -> None:
        self.receiver = receiver

    def _unregister_data_receiver(self, receiver: Any) -> None:
        self.receiver = None

    async def _send_data(self, data: bytes) -> None:
        # A task of aiortc's may come after the end; raising there would only be an exception that nobody retrieves.
        self._dtls.send_data(data)


class DataChannels:
    """The data channels of one peer; made when DTLS is up. Needs a running event loop."""

    def __init__(
        self,
        dtls: Dtls,
        *,
        remote_port: int,
        max_message_bytes: int,
        opened: Callable[[str, str], None],
        received: Callable[[str, str, str | bytes], None],
        share: Share | None = None,
    ) -> None:
        self.errors: dict[str, int] = {}
        """What was dropped, by why: packet, harmful, busy, overflow, channels, closed, buffer, too_large."""
        self._told: dict[str, int] = {}
        self.messages_received = self.messages_sent = 0
        self._opened = opened
        self._received = received
        self._share = share or Share(SHARE, SHARE_BURST)
        self._channels: dict[tuple[str, str], RTCDataChannel] = {}
        self._is_long = False
        self._transport = _Transport(dtls)
        self._sctp = RTCSctpTransport(self._transport, 5000)
        self._sctp.on("datachannel", self._channel)
        self._run(self._sctp.start(RTCSctpCapabilities(maxMessageSize=max_message_bytes), remote_port))

    def receive(self, packet: bytes) -> None:
        """Take an SCTP packet. Never raises by what it holds."""
        if self._transport.receiver is None:
            return
        if is_harmful(packet):
            self._count("harmful")
            return
        if not self._share.begin():
            # Lost, for the peer: it sends again, and slower.
            self._count("busy")
            return
        self._run(self._transport.receiver._handle_data(packet))
        if self._is_beyond_bounds():
            self._count("overflow")
            self.close()
        self._share.end()

    def send(self, label: str, protocol: str, message: str | bytes) -> bool:
        """Send a message; false (and counted) when it can't be."""
        channel = self._channels.get((label, protocol))
        if channel is None or channel.readyState != "open":
            self._count("closed")
            return False
        sctp = self._sctp
        if (
            len(sctp._data_channel_queue) + len(sctp._outbound_queue) + len(sctp._sent_queue) > MAX_QUEUED
            or sum(each.bufferedAmount for each in self._channels.values()) > MAX_BUFFERED_BYTES
        ):
            self._count("buffer")
            return False
        try:
            channel.send(message)
        except ValueError:
            self._count("too_large")
            return False
        self.messages_sent += 1
        return True

    def close(self) -> None:
        """Abort the association and its timers."""
        if self._transport.receiver is not None:
            self._run(self._sctp.stop())
        self._channels.clear()

    def _is_beyond_bounds(self) -> bool:
        sctp = self._sctp
        return (
            self._is_long
            or sctp._advertised_rwnd < -_OVERDRAWN_BYTES
            or len(sctp._sack_misordered) > MAX_OUT_OF_ORDER
            or len(sctp._sack_duplicates) > MAX_DUPLICATES
            or len(sctp._inbound_streams) > MAX_STREAMS
            # Those that close stay until the peer has agreed, which it need not.
            or len(sctp._data_channels) > 2 * MAX_DATA_CHANNELS
            or sum(len(stream.reassembly) for stream in sctp._inbound_streams.values()) > MAX_FRAGMENTS
        )

    def _channel(self, channel: RTCDataChannel) -> None:
        if len(channel.label) + len(channel.protocol) > MAX_NAME_LENGTH:
            self._is_long = True
            return
        # Of aiortc's, since two of one name are one of ours.
        if len(self._sctp._data_channels) > MAX_DATA_CHANNELS:
            self._count("channels")
            channel.close()
            return
        key = (channel.label, channel.protocol)
        self._channels[key] = channel

        def message(data: str | bytes) -> None:
            self.messages_received += 1
            self._received(channel.label, channel.protocol, data)

        def closed() -> None:
            if self._channels.get(key) is channel:
                del self._channels[key]

        channel.on("message", message)
        channel.on("close", closed)
        self._opened(channel.label, channel.protocol)

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """aiortc's handlers are coroutines that never wait: run to the end, packets keep their order."""
        try:
            coroutine.send(None)
        except StopIteration:
            return
        except Exception as error:
            self._count("packet")
            logger.debug("SCTP packet dropped: %r", error)
            return
        coroutine.close()
        self._count("packet")

    def new_errors(self) -> dict[str, int]:
        """Those since the last call."""
        new = {why: count - self._told.get(why, 0) for why, count in self.errors.items()}
        self._told = dict(self.errors)
        return {why: count for why, count in new.items() if count}

    def _count(self, why: str) -> None:
        self.errors[why] = self.errors.get(why, 0) + 1
