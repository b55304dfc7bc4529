"""Where the media of one remote publisher arrive: a port for RTP, and one for the key frame requests back.

Nobody says beforehand where a publisher sends from: its first packet does, and until it falls silent whoever else
sends is counted and dropped. With SRTP the first packet has to authenticate.
"""

import secrets
from collections import Counter
from collections.abc import Callable

from appliance.core.clock import Clock
from appliance.media.plain import Address, PlainSocket
from appliance.media.shared_key import SharedKey
from appliance.plugins.videoroom.multiplex import place_of, ssrc_in, ssrc_of
from appliance.wire import rtcp

SILENCE_SECONDS = 5.0
"""After which another sender may take over."""
OUTCOMES = ("received", "foreign", "malformed", "forged", "unknown")
"""What a datagram can be: foreign is one of another sender, unknown one of no stream."""

Known = Callable[[int, int], bool]
"""Whether there is an m-line, with that encoding of simulcast."""
Received = Callable[[int, int, bytes], None]
"""Takes a packet of an m-line and encoding."""
Bind = Callable[[Callable[[bytes, Address], None], bool], PlainSocket]
"""Opens a socket, for RTP or (``True``) for feedback. Raises OSError: there is no port."""


class RemotePort:
    """Two sockets. ``counts`` are shared with whoever adds them up.

    :raises OSError: there is no port.
    """

    def __init__(
        self,
        bind: Bind,
        *,
        key: SharedKey | None,
        clock: Clock,
        known: Known,
        received: Received,
        counts: Counter[str],
    ) -> None:
        self.key = key
        self.counts = counts
        self.requests = 0
        """For key frames, sent."""
        self._clock = clock
        self._known = known
        self._received = received
        self._ssrc = secrets.randbits(32)
        self._sender: Address | None = None
        self._heard_at = 0.0
        self._latched: Address | None = None
        """Where RTCP goes."""
        self._due: set[int] = set()
        """m-lines whose key frame is wanted, and nobody to tell yet."""
        self._rtp = bind(self._take, False)
        try:
            self._rtcp = bind(self._latch, True)
        except OSError:
            self._rtp.close()
            raise

    @property
    def address(self) -> Address:
        """Of RTP."""
        return self._rtp.address

    @property
    def rtcp_port(self) -> int:
        """On the same address."""
        return self._rtcp.address[1]

    def request_keyframe(self, mindex: int) -> None:
        """Ask the sender for one, as soon as it has told where it listens."""
        if self._latched is None:
            self._due.add(mindex)
            return
        data = rtcp.build_compound([rtcp.Pli(sender_ssrc=self._ssrc, media_ssrc=ssrc_of(mindex))])
        protected = data if self.key is None else self.key.protect_rtcp(data)
        if protected is not None and self._rtcp.send(protected, self._latched):
            self.requests += 1

    def close(self) -> None:
        """Nothing comes any more."""
        self._rtp.close()
        self._rtcp.close()

    def _take(self, data: bytes, address: Address) -> None:
        self.counts[self._judge(data, address)] += 1

    def _judge(self, data: bytes, address: Address) -> str:
        ssrc = ssrc_in(data)
        if ssrc is None:
            return "malformed"
        now = self._clock.monotonic()
        if address != self._sender and self._sender is not None and now - self._heard_at < SILENCE_SECONDS:
            return "foreign"
        place = place_of(ssrc)
        if place is None or not self._known(*place):
            # Before it is decrypted: libsrtp keeps a context of each SSRC.
            return "unknown"
        packet = data if self.key is None else self.key.unprotect(data)
        if packet is None:
            return "forged"
        self._sender, self._heard_at = address, now
        self._received(*place, packet)
        return "received"

    def _latch(self, data: bytes, address: Address) -> None:
        # RTP or RTCP, whatever it says (both have version 2): it tells where feedback may go.
        if len(data) < 8 or data[0] >> 6 != 2:
            self.counts["malformed"] += 1
            return
        expected = self._sender or self._latched or address
        if address[0] != expected[0]:
            self.counts["foreign"] += 1
            return
        self._latched = address
        due, self._due = self._due, set()
        for mindex in due:
            self.request_keyframe(mindex)
