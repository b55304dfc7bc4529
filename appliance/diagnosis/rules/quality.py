"""Loss, delay and what follows from them: the call as it is now while it lives, and all of it once it is over."""

from appliance.diagnosis import thresholds as limit
from appliance.diagnosis.case import Case, Finding
from appliance.diagnosis.rules.rule import rule
from appliance.diagnosis.tracks import LossMeter, Track


def _holds(case: Case, meter: LossMeter) -> bool:
    """Now, for a live call; long enough to matter in it, for one that is over."""
    if not case.final:
        return meter.active
    wanted = min(limit.LOSS_CALL_S, limit.LOSS_CALL_SHARE * case.since(case.t.up))
    return meter.worst > 0 and meter.bad_seconds >= wanted


def _lossy(case: Case, meters: list[tuple[Track, LossMeter]], slow: str) -> Finding | None:
    if case.t.up is None:
        return None
    bad = [(track, meter) for track, meter in meters if _holds(case, meter)]
    if not bad:
        return None
    track, worst = max(bad, key=lambda entry: entry[1].worst)
    return Finding(
        [*(item for _, meter in bad for item in meter.evidence), *case.t.slow_links.get(slow, [])[:12]],
        "certain",
        percent=round(100 * worst.worst, 1),
        average_percent=round(100 * (worst.share or 0.0), 1),
        media=" and ".join(sorted({track.kind for track, _ in bad})),
        mid=track.mid,
        seconds=round(max(meter.bad_seconds for _, meter in bad), 1),
    )


@rule(
    phase="media",
    severity="fault",
    actor="client",
    beside=True,
    sentence="Up to {percent} % of the {media} that the client sent was lost on its way to the server"
    " ({average_percent} % of the whole call).",
    advice="The client's upload is weak: a cable or a better place for Wi-Fi, or a lower bitrate.",
    disproof="The client's own sent count equal to what arrived.",
)
def uplink_loss(case: Case) -> Finding | None:
    """Packets of the client's are lost on their way to us. (Janus calls it a slow downlink.)"""
    meters = [(t, t.uplink) for t in case.t.rtp_tracks() if case.final or t.stopped_us is None]
    return _lossy(case, meters, "downlink")


@rule(
    phase="media",
    severity="fault",
    actor="client",
    beside=True,
    sentence="Up to {percent} % of the {media} that the server sent did not reach the client"
    " ({average_percent} % of the whole call).",
    advice="The client's download is weak: a cable or a better place for Wi-Fi, or fewer and smaller streams.",
    disproof="Receiver reports without loss for that time.",
)
def downlink_loss(case: Case) -> Finding | None:
    """The client reports that packets of ours are lost on their way to it. (Janus calls it a slow uplink.)"""
    return _lossy(case, [(t, t.downlink) for t in case.t.rtp_tracks()], "uplink")


@rule(
    phase="media",
    severity="fault",
    actor="network",
    beside=True,
    sentence="Packets were lost both ways ({percent} % of the client's) while the round trip rose from {best_ms} to"
    " {rtt_ms} ms: the line was full.",
    advice="Lower the bitrate, or find what else uses the client's line.",
    disproof="A steady round trip during the loss.",
)
def congestion(case: Case) -> Finding | None:
    """Loss both ways, and a round trip far above the call's best."""
    up, down = uplink_loss.when(case), downlink_loss.when(case)
    if up is None or down is None:
        return None
    # Of a call that is over, what it was in the worst of it: it may have ended well.
    trips = [(t.lossy_rtt_ms if case.final else t.rtt_ms or 0.0, t.best_rtt_ms, t.last_id) for t in case.t.rtp_tracks()]
    slow = [(rtt, best, event) for rtt, best, event in trips if best is not None and rtt >= best + limit.RTT_RISE_MS]
    if not slow:
        return None
    rtt, best, event = max(slow)
    return Finding(
        [*up.evidence, *down.evidence, event],
        "likely",
        rtt_ms=round(rtt),
        best_ms=round(best),
        percent=up.detail["percent"],
    )


@rule(
    phase="media",
    severity="notice",
    actor="network",
    beside=True,
    sentence="The bandwidth that reaches the client fell by {percent} % within seconds while its round trip grew.",
    advice="A full buffer on the way (bufferbloat): look for a large transfer on the client's line.",
    disproof="A steady round trip at that time.",
)
def bandwidth_drop(case: Case) -> Finding | None:
    """The client's estimate of what reaches it fell by half within seconds, and the round trip grew."""
    fallen = [track for track in case.t.rtp_tracks() if track.remb_fall > limit.REMB_FALL]
    if not fallen or uplink_loss.when(case) or downlink_loss.when(case):
        return None
    worst = max(fallen, key=lambda track: track.remb_fall)
    if not case.final and all(case.since(track.remb_fell_us) > limit.REMB_WINDOW_S for track in fallen):
        return None
    return Finding(worst.remb_evidence, "possible", percent=round(100 * worst.remb_fall))


@rule(
    phase="media",
    severity="notice",
    actor="client",
    beside=True,
    sentence="The client's audio arrived unevenly (jitter up to {jitter_ms} ms), with little loss.",
    advice="Wi-Fi in a crowded place, or a busy computer; a larger playout delay hides it.",
    disproof="Jitter under 30 ms at the server in that time.",
)
def high_jitter(case: Case) -> Finding | None:
    """Audio comes unevenly, though little of it is lost."""
    rough = [t for t in case.t.rtp_tracks() if (t.worst_jitter_ms > 0 if case.final else t.jitter_active)]
    if not rough or uplink_loss.when(case) is not None:
        return None
    worst = max(rough, key=lambda track: track.worst_jitter_ms)
    return Finding(worst.jitter_evidence, "likely", jitter_ms=round(worst.worst_jitter_ms))


@rule(
    phase="media",
    severity="notice",
    actor="client",
    beside=True,
    sentence="The client asked for a new key frame {per_second} times a second: it kept losing its picture.",
    advice="Look for loss towards the client, a decoder that fails, or a sender that ignores the requests.",
    disproof="Fewer than one request in two seconds.",
)
def keyframe_storm(case: Case) -> Finding | None:
    """The client asks for a new picture again and again."""
    rates = [(t.worst_keyframe_rate if case.final else t.keyframe_rate, t) for t in case.t.rtp_tracks()]
    asking = [(rate, track) for rate, track in rates if rate > limit.KEYFRAME_REQUESTS_PER_S]
    if not asking:
        return None
    rate, worst = max(asking, key=lambda each: each[0])
    return Finding(worst.keyframe_evidence, "likely", per_second=round(rate, 2))


@rule(
    phase="media",
    severity="notice",
    actor="nobody",
    beside=True,
    sentence="Up to {percent} % of the client's packets had to be asked for again, and came: hardly anybody will have"
    " noticed.",
    advice="Nothing; if it gets worse it becomes loss.",
    disproof="A media link quality well under 100.",
)
def loss_repaired(case: Case) -> Finding | None:
    """Much was asked for again, and came: the person hardly noticed."""
    tracks = [track for track in case.t.rtp_tracks() if not _holds(case, track.uplink)]
    repaired = [track.repairs for track in tracks if _holds(case, track.repairs)]
    if case.t.up is None or not repaired:
        return None
    worst = max(repaired, key=lambda meter: meter.worst)
    return Finding(worst.evidence, "likely", percent=round(100 * worst.worst, 1))


@rule(
    phase="media",
    severity="notice",
    actor="client",
    beside=True,
    sentence="The timestamps of the client's {media} run {percent} % {direction} than its clock: sound and picture"
    " drift apart or crackle.",
    advice="Look for a sound card or an encoder whose sample rate is not the one it names (44.1 against 48 kHz), or a"
    " source that was switched under the same stream.",
    disproof="Sender reports whose RTP and NTP times advance alike.",
)
def clock_or_timestamp_fault(case: Case) -> Finding | None:
    """By the client's own sender reports, its RTP timestamps keep running faster or slower than its clock."""
    wrong = [track for track in case.t.rtp_tracks() if track.clock.deviation]
    if not wrong:
        return None
    worst = max(wrong, key=lambda track: abs(track.clock.deviation))
    return Finding(
        worst.clock.evidence,
        "likely",
        media=worst.kind,
        percent=round(100 * abs(worst.clock.deviation), 1),
        direction="faster" if worst.clock.deviation > 0 else "slower",
    )
