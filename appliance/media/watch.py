"""What is done for a PeerConnection from the clock: probes, deadlines, silence, reports, statistics."""

import logging
from typing import TYPE_CHECKING

from appliance.core.clock import Clock, Timer
from appliance.media.config import MediaConfig
from appliance.media.stages import IceStage
from appliance.media.stats import media_stats, slow_links

if TYPE_CHECKING:
    from appliance.media.peer import Peer

logger = logging.getLogger(__name__)

CONNECTING_TICK = 0.5
"""Seconds: two probes a second until there is a pair."""
TICK = 1.0
"""Seconds: reports, statistics, and whatever else has to be looked after."""
SLOT = 1 / 16
"""Seconds: ticks come at multiples of it, so that one wake-up and one batch of events serve many PeerConnections."""
_EARLY = 0.002
"""Seconds that a timer may come too early by."""
_NEVER = float("inf")


class Watch:
    """Looks after ``peer`` at every tick, and ends it when it has been silent for too long."""

    def __init__(self, peer: "Peer", config: MediaConfig, clock: Clock) -> None:
        self.config = config
        self._peer = peer
        self._clock = clock
        self._timer: Timer | None = None
        self._ice_deadline = _NEVER
        self._heard = 0.0
        self._received_before = 0
        self._next_report = self._next_stats = self._next_second = 0.0

    def tick_later(self) -> None:
        """Begin, or begin the period anew."""
        self.stop()
        delay = TICK if self._peer.up and not self._peer.ice.awaiting_pair else CONNECTING_TICK
        now = self._clock.monotonic()
        due = (now + delay + _EARLY) // SLOT * SLOT
        self._timer = self._clock.call_later(due - now, self._tick)

    def stop(self) -> None:
        """No tick comes any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def let_go(self) -> None:
        """Know nobody any more: nothing happens after the last :meth:`stop`."""
        del self._peer

    def ice_began(self) -> None:
        """A pair is to be nominated within the time-out."""
        self._ice_deadline = self._clock.monotonic() + self.config.ice_timeout

    def ice_selected(self) -> None:
        """A pair is."""
        self._ice_deadline = _NEVER

    def heard(self) -> None:
        """Something that proves who it comes from came."""
        self._heard = self._clock.monotonic()

    def came_up(self) -> None:
        """From here on ticks count from now: statistics come a period after the PeerConnection came up, less a slot."""
        now = self._clock.monotonic()
        self._next_second = self._next_report = now + TICK
        self._next_stats = now + self.config.stats_period
        self.tick_later()

    def tell_stats(self) -> None:
        """Emit the statistics of every medium, and what was wrong with packets."""
        for body in media_stats(self._peer.lines, self._peer.dtls):
            self._peer.emit(body)
        self._peer.path.faults.tell()
        self._peer.association.tell_faults()

    def _tick(self) -> None:
        self._timer = None
        try:
            self._look_after(self._clock.monotonic())
        except Exception:
            logger.exception("a PeerConnection failed at its tick")
            self._peer.close("ICE failed")
        if not self._peer.closed:
            self.tick_later()

    def _look_after(self, now: float) -> None:
        peer, ice = self._peer, self._peer.ice
        if peer.path.received != self._received_before:
            self._received_before = peer.path.received
            self._heard = now
            ice.heard_again()
        ice.probe()
        if now >= peer.association.deadline:
            peer.association.tell()
            peer.close("DTLS timeout")
            return
        peer.association.tell_while_slow(now)
        if now >= self._ice_deadline:
            self._fail_ice()
            return
        if ice.selected is not None and not ice.awaiting_pair:
            silence = now - self._heard
            if silence >= self.config.ice_timeout or not ice.has_consent(self.config.ice_timeout):
                self._fail_ice()
                return
            if silence >= self.config.ice_disconnected:
                ice.silent()
        if ice.awaiting_pair and ice.stage is IceStage.CONNECTING and now >= self._next_second:
            self._next_second = now + (self.config.stats_period or TICK)
            ice.tell_counters()
        if peer.up:
            self._report(now)

    def _report(self, now: float) -> None:
        peer = self._peer
        if self.config.no_media_timer:
            peer.path.activity.check_silence(peer.path.lines, now, self.config.no_media_timer)
        # Ticks drift by a little; half a tick of grace keeps them from skipping a beat.
        soon = now + TICK / 2
        if soon >= self._next_report:
            self._next_report = now + TICK
            peer.reports.send(now)
            for line in peer.lines:
                line.second_passed()
            for body in slow_links(peer.lines, self.config.slowlink_threshold):
                peer.emit(body)
        if self.config.stats_period and soon >= self._next_stats:
            self._next_stats = max(self._next_stats, now - TICK / 2) + self.config.stats_period
            self.tell_stats()

    def _fail_ice(self) -> None:
        self._peer.ice.fail()
        self._peer.close("ICE failed")
