"""Who is shown the packets of a handle: a capture that the Admin API asked for, and a recording."""

from collections.abc import Callable

from appliance.core.admin_tools import Capture
from appliance.core.events import PairAddresses
from appliance.core.peer import PeerConnection
from appliance.core.recording import CallRecord


class PacketWatch:
    """Follows the handle from one PeerConnection to the next; with nobody to show to, the engine copies nothing."""

    def __init__(self, pair: Callable[[], PairAddresses | None]) -> None:
        self.capture: Capture | None = None
        self.record: CallRecord | None = None
        self._pair = pair
        self._peer: PeerConnection | None = None

    def follow(self, peer: PeerConnection | None) -> None:
        """The handle has a new PeerConnection, or none any more."""
        self._peer = peer
        if self.capture is not None or self.record is not None:
            self._show()

    def start_capture(self, capture: Capture) -> None:
        """Write every packet from now on, also those of a PeerConnection that is still to come."""
        self.capture = capture
        self._show()

    def stop_capture(self) -> bool:
        """Write no more; false when nothing was written."""
        capture, self.capture = self.capture, None
        if capture is None:
            return False
        self._show()
        capture.close()
        return True

    def close(self) -> None:
        """The handle ends."""
        self.stop_capture()
        self._peer = None
        self._pair = _unknown

    def set_record(self, record: CallRecord | None) -> None:
        """Keep everything in ``record`` from now on; ``None`` ends it."""
        if record is not None or self.record is not None:
            self.record = record
            self._show()

    def _show(self) -> None:
        peer, record = self._peer, self.record
        if peer is None:
            return
        if record is None:
            peer.set_wire_tap(None)
        else:
            peer.set_wire_tap(record.wire, record.secret, media=record.media)
        if self.capture is not None:
            peer.set_tap(self._plain)
        else:
            peer.set_tap(None if record is None or not record.media else record.plain)

    def _plain(self, data: bytes, incoming: bool) -> None:
        if self.capture is not None:
            self.capture.packet(data, incoming=incoming, pair=self._pair())
        if self.record is not None and self.record.media:
            self.record.plain(data, incoming)


def _unknown() -> PairAddresses | None:
    """The pair of a handle that is gone."""
    return None
