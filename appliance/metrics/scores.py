"""Scores of a track in one interval, with their formulas; ``None`` where what they need was not measured.

More loss, more jitter or a longer round trip never raises either score. An interval in which nothing was expected
(a muted or idle track) has no loss, and so no score: it is not bad.
"""

AUDIO_LOSS_WEIGHT = 5.3
"""Points for each percent of audio lost; Opus with in-band correction, which WebRTC clients send."""
VIDEO_LOSS_WEIGHT = 10.0
"""Points for each percent of video lost."""
PACKETISATION_S = 0.020
"""Of Opus as WebRTC sends it."""


def link_quality(kind: str, loss: float | None, jitter_s: float | None, round_trip_s: float | None) -> float | None:
    """How good one direction of a track was, from 0 (unusable) to 1 (nothing to complain of).

    ``q = 1 - (D + 100 * loss * w) / 100``, not below 0, where ``w`` is 5.3 for audio and 10 for video, and with
    ``d = round_trip / 2 + 2 * jitter`` in milliseconds, ``D = d / 40`` up to 160 ms and ``(d - 120) / 10`` beyond.
    (The weights and the delay term are those that LiveKit's score uses.) ``loss`` is a share from 0 to 1; without it
    there is no score. Without a round trip or jitter, the delay term leaves them out.
    """
    if loss is None:
        return None
    delay_ms = ((round_trip_s or 0.0) / 2 + 2 * (jitter_s or 0.0)) * 1000
    delay = delay_ms / 40 if delay_ms < 160 else (delay_ms - 120) / 10
    weight = AUDIO_LOSS_WEIGHT if kind == "audio" else VIDEO_LOSS_WEIGHT
    return max(0.0, 1 - (delay + 100 * loss * weight) / 100)


def audio_mos(loss: float | None, jitter_s: float | None, round_trip_s: float | None) -> float | None:
    """Estimated mean opinion score of one direction of an audio track, 1 (bad) to 4.5: ITU-T G.107, simplified.

    ``R = 93.2 - Id - Ie``, where with the delay ``d = round_trip / 2 + 2 * jitter + 20`` in milliseconds (half the
    way, a jitter buffer, one Opus frame) ``Id = 0.024 * d + 0.11 * max(0, d - 177.3)``, and with the loss ``p`` in
    percent ``Ie = 95 * p / (p + 25)``; ``MOS = 1 + 0.035 * R + R * (R - 60) * (100 - R) * 7e-6``, within 1 and 4.5.
    An estimate of the network's part alone: nobody has listened. ``None`` unless all three were measured.
    """
    if loss is None or jitter_s is None or round_trip_s is None:
        return None
    delay_ms = (round_trip_s / 2 + 2 * jitter_s + PACKETISATION_S) * 1000
    delay = 0.024 * delay_ms + 0.11 * max(0.0, delay_ms - 177.3)
    percent = 100 * loss
    rating = min(100.0, max(0.0, 93.2 - delay - 95 * percent / (percent + 25)))
    return min(4.5, max(1.0, 1 + 0.035 * rating + rating * (rating - 60) * (100 - rating) * 7e-6))
