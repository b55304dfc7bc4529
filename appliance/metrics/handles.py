"""One handle's metrics: the text of ``/metrics/handles``, written straight from the newest statistics.

Label text is made once a track; a scrape is one pass over the tracks and one join a family. prometheus_client's own
exposition of the same series takes 20 to 50 times as long (:mod:`benchmarks.metrics`).
"""

from collections import OrderedDict
from collections.abc import Iterator
from hashlib import sha256

from appliance.core.clock import Clock
from appliance.core.events import MediaStats
from appliance.metrics import names as n
from appliance.metrics.family import Source
from appliance.metrics.lives import QUIET_S, HandleKey, Life
from appliance.metrics.text import head, label_text
from appliance.metrics.track import Track, seconds

MAX_HANDLES = 2_000
SLICE = 200
"""Handles rendered before whoever writes may do something else: about 2 ms."""
LINES = 5_000
"""Lines of one piece of text."""

FAMILIES = tuple(family for family in n.FAMILIES if family.source is Source.HANDLES)

Lines = dict[str, list[str]]


def opaque_hash(opaque_id: str) -> str:
    """What stands for an opaque id: the first 16 hexadecimal digits of its SHA-256, so that anyone can look one up."""
    return sha256(opaque_id.encode("utf-8", "replace")).hexdigest()[:16]


class HandleTier:
    """The handles that are shown: at most ``max_handles``, and once they are, a quiet one gives way to a new one.

    ``opaque_id`` is hash, clear or off. Implements :class:`appliance.metrics.population.HandleWatcher`.
    """

    def __init__(self, clock: Clock, *, max_handles: int = MAX_HANDLES, opaque_id: str = "hash") -> None:
        self._clock = clock
        self._max = max_handles
        self._opaque_id = opaque_id
        self._shown: OrderedDict[HandleKey, Life] = OrderedDict()
        """The one that was quiet longest first."""
        self._leaving: OrderedDict[HandleKey, Life] = OrderedDict()
        """Ended, and to be shown once more."""

    def __len__(self) -> int:
        return len(self._shown)

    def seen(self, life: Life) -> None:
        """Something of this handle came."""
        key = life.key
        if key in self._shown:
            self._shown.move_to_end(key)
            return
        if len(self._shown) >= self._max:
            oldest = next(iter(self._shown.values()), None)
            if oldest is None or self._clock.monotonic() - oldest.seen_at < QUIET_S:
                return
            del self._shown[oldest.key]
        self._shown[key] = life

    def ended(self, life: Life) -> None:
        """It is gone: its last values are shown by one scrape more."""
        if self._shown.pop(life.key, None) is not None:
            self._leaving[life.key] = life
            if len(self._leaving) > self._max:
                self._leaving.popitem(last=False)

    def pieces(self, openmetrics: bool) -> Iterator[str]:
        """The text in pieces, some empty: between any two, whoever writes may let others run."""
        lives = self._snapshot()
        lines: Lines = {family.name: [] for family in FAMILIES}
        for begin in range(0, len(lives), SLICE):
            for life in lives[begin : begin + SLICE]:
                self._render(life, lines)
            yield ""
        for family in FAMILIES:
            found = lines.pop(family.name)
            if found:
                yield head(family, openmetrics)
            for begin in range(0, len(found), LINES):
                yield "".join(found[begin : begin + LINES])

    def _snapshot(self) -> list[Life]:
        # The ids alone are labels: two servers that gave the same ones can't both be shown.
        chosen: dict[tuple[int, int], Life] = {}
        for key, life in (*self._shown.items(), *self._leaving.items()):
            chosen.setdefault((key.session_id, key.handle_id), life)
        self._leaving.clear()
        return list(chosen.values())

    def _info(self, life: Life) -> str:
        labels = {
            "server": life.server,
            "session_id": str(life.key.session_id),
            "handle_id": str(life.key.handle_id),
            "plugin": life.plugin,
            "room": life.room,
        }
        if life.opaque_id is not None and self._opaque_id == "clear":
            labels["opaque_id"] = life.opaque_id
        elif life.opaque_id is not None and self._opaque_id == "hash":
            labels["opaque_id_hash"] = opaque_hash(life.opaque_id)
        return label_text({name: value for name, value in labels.items() if value})

    def _render(self, life: Life, lines: Lines) -> None:
        if life.labels is None:
            life.labels = self._info(life)
        lines["handle_info"].append(f"appliance_handle_info{life.labels} 1\n")
        if life.peer is None:
            if life.last_shown:
                return
            life.last_shown = True
        for track in life.tracks.values():
            last = track.last
            if last is not None:
                if track.labels is None:
                    track.labels = self._track_labels(life, track, last)
                self._render_track(track, last, track.labels, lines)

    @staticmethod
    def _track_labels(life: Life, track: Track, last: MediaStats) -> tuple[str, str, str]:
        base = {
            "session_id": str(life.key.session_id),
            "handle_id": str(life.key.handle_id),
            "mid": track.mid,
        }
        info = base | {"kind": track.kind} | ({"codec": last.codec} if last.codec else {})
        return (
            label_text(base | {"direction": "in"}),
            label_text(base | {"direction": "out"}),
            label_text(info),
        )

    @staticmethod
    def _render_track(track: Track, last: MediaStats, labels: tuple[str, str, str], lines: Lines) -> None:
        inwards, outwards, info = labels
        lines["handle_track_info"].append(f"appliance_handle_track_info{info} 1\n")
        packets = lines["handle_rtp_packets_total"]
        octets = lines["handle_rtp_bytes_total"]
        bitrate = lines["handle_bitrate_bytes_per_second"]
        if last.packets_received is not None:
            packets.append(f"appliance_handle_rtp_packets_total{inwards} {last.packets_received}\n")
        if last.bytes_received is not None:
            octets.append(f"appliance_handle_rtp_bytes_total{inwards} {last.bytes_received}\n")
        if track.bitrate_in is not None:
            bitrate.append(f"appliance_handle_bitrate_bytes_per_second{inwards} {track.bitrate_in:.1f}\n")
        # Of the layers of a simulcast, one is sent on, and its counts are those of the first.
        sends = "-" not in last.media
        if sends:
            if last.packets_sent is not None:
                packets.append(f"appliance_handle_rtp_packets_total{outwards} {last.packets_sent}\n")
            if last.bytes_sent is not None:
                octets.append(f"appliance_handle_rtp_bytes_total{outwards} {last.bytes_sent}\n")
            if track.bitrate_out is not None:
                bitrate.append(f"appliance_handle_bitrate_bytes_per_second{outwards} {track.bitrate_out:.1f}\n")
        if track.kind == "data":
            return
        jitter = lines["handle_jitter_seconds"]
        quality = lines["handle_link_quality_ratio"]
        nacks = lines["handle_nacks_total"]
        plis = lines["handle_plis_total"]
        if last.lost is not None:
            lines["handle_rtp_packets_lost_total"].append(
                f"appliance_handle_rtp_packets_lost_total{inwards} {track.lost_here}\n"
            )
        if last.packets_received and (value := seconds(last.jitter_local_us, last.jitter_local)) is not None:
            jitter.append(f"appliance_handle_jitter_seconds{inwards} {value:.6f}\n")
        if last.nacks_received is not None:
            nacks.append(f"appliance_handle_nacks_total{inwards} {last.nacks_received}\n")
        if last.plis_received is not None:
            plis.append(f"appliance_handle_plis_total{inwards} {last.plis_received}\n")
        if track.quality_in is not None:
            quality.append(f"appliance_handle_link_quality_ratio{inwards} {track.quality_in:.4f}\n")
        if track.mos_in is not None:
            lines["handle_audio_mos"].append(f"appliance_handle_audio_mos{inwards} {track.mos_in:.3f}\n")
        if last.nacks_sent is not None:
            nacks.append(f"appliance_handle_nacks_total{outwards} {last.nacks_sent}\n")
        if last.plis_sent is not None:
            plis.append(f"appliance_handle_plis_total{outwards} {last.plis_sent}\n")
        if not (sends and track.reports):
            return
        lines["handle_rtp_packets_lost_by_peer_total"].append(
            f"appliance_handle_rtp_packets_lost_by_peer_total{outwards} {track.lost_by_peer}\n"
        )
        if (value := seconds(last.jitter_remote_us, last.jitter_remote)) is not None:
            jitter.append(f"appliance_handle_jitter_seconds{outwards} {value:.6f}\n")
        if value := seconds(last.rtt_us, last.rtt):
            lines["handle_round_trip_time_seconds"].append(
                f"appliance_handle_round_trip_time_seconds{outwards} {value:.6f}\n"
            )
        if track.quality_out is not None:
            quality.append(f"appliance_handle_link_quality_ratio{outwards} {track.quality_out:.4f}\n")
        if track.mos_out is not None:
            lines["handle_audio_mos"].append(f"appliance_handle_audio_mos{outwards} {track.mos_out:.3f}\n")
