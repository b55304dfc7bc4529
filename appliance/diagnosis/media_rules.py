"""Signs in a PeerConnection that came up: media that is missing, a network that went away, loss, delay.

Each function holds one row, as in :mod:`appliance.diagnosis.setup_rules`. Loss and its like look at the call as it is
now while it lives, and at all of it once it is over.
"""

from appliance.diagnosis import thresholds as limit
from appliance.diagnosis.case import Case, Finding
from appliance.diagnosis.tracks import LossMeter, Track


def srtp_decrypt_failed(case: Case) -> Finding | None:
    """Packets come, and their authentication fails."""
    return _faulty(case, {"srtp_auth"})


def rtp_unroutable(case: Case) -> Finding | None:
    """Packets come, and belong to no stream that was agreed on."""
    return _faulty(case, {"unknown_payload_type", "unknown_ssrc", "unknown_mid", "ssrc_limit"})


def _faulty(case: Case, kinds: set[str]) -> Finding | None:
    count = sum(number for kind, number in case.t.faults.items() if kind in kinds)
    received = sum(track.packets_received for track in case.t.rtp_tracks())
    if case.t.up is None or count < limit.FAULT_MIN or count < limit.FAULT_SHARE * received:
        return None
    return Finding(case.t.fault_ids, "certain", count=count, received=received)


def no_media_from_client(case: Case) -> Finding | None:
    """It agreed to send audio or video, and none has come."""
    waiting = [seconds for seconds in case.expected.values() if seconds > limit.NO_MEDIA_S]
    if not waiting or len(waiting) < len(case.expected) or any(case.heard(mid) for mid in case.expected):
        return None
    # Without statistics, the server's silence on whether it receives would be all there is.
    measured = any(case.measured(mid) for mid in case.expected)
    known = case.silence < limit.NO_MEDIA_S or case.left_by_itself
    sure = "certain" if measured and known else "likely" if measured else "possible"
    kinds = " and ".join(sorted({case.t.kind_of(mid) for mid in case.expected}))
    stats = [track.last_id for mid in case.expected for track in case.t.of_mid(mid) if track.last is not None]
    remote = case.t.remote.event_id if case.t.remote else None
    return Finding([remote, case.t.up, *stats], sure, seconds=round(max(waiting), 1), media=kinds)


def no_video_from_client(case: Case) -> Finding | None:
    """Its audio comes, its video never did."""
    return _missing(case, "video")


def _missing(case: Case, kind: str) -> Finding | None:
    """One kind never came, while another of the client's does."""
    if not any(case.heard(mid) for mid in case.expected):
        return None
    mids = [mid for mid in case.expected if case.t.kind_of(mid) == kind]
    silent = [mid for mid in mids if not case.heard(mid) and case.measured(mid)]
    if not silent or len(silent) < len(mids) or max(case.expected[mid] for mid in silent) <= limit.NO_MEDIA_S:
        return None
    stats = [track.last_id for mid in silent for track in case.t.of_mid(mid)]
    remote = case.t.remote.event_id if case.t.remote else None
    seconds = round(max(case.expected[mid] for mid in silent), 1)
    return Finding([remote, case.t.up, *stats], "possible", seconds=seconds)


def no_media_to_client(case: Case) -> Finding | None:
    """We agreed to send audio or video, and have sent none."""
    owed = {mid: seconds for mid, seconds in case.owed.items() if case.measured(mid)}
    if not owed or any(case.told(mid) for mid in owed) or max(owed.values()) <= limit.NO_MEDIA_S:
        return None
    stats = [track.last_id for mid in owed for track in case.t.of_mid(mid)]
    return Finding([case.t.up, *stats], "likely", seconds=round(max(owed.values()), 1))


def one_way_audio(case: Case) -> Finding | None:
    """Audio was agreed both ways and goes one way, while other media of the same call flow."""
    missing = _missing(case, "audio")
    both = [mid for mid in case.expected if mid in case.owed and case.t.kind_of(mid) == "audio"]
    if missing is not None and any(case.told(mid) for mid in both):
        return Finding(missing.evidence, "likely", direction="from the client", **missing.detail)
    dumb = [mid for mid in both if case.heard(mid) and case.measured(mid) and not case.told(mid)]
    if not dumb or case.owed[dumb[0]] <= limit.NO_MEDIA_S or not any(case.told(mid) for mid in case.owed):
        return None
    stats = [track.last_id for mid in dumb for track in case.t.of_mid(mid)]
    return Finding([case.t.up, *stats], "likely", direction="to the client", seconds=round(case.owed[dumb[0]], 1))


def network_lost(case: Case) -> Finding | None:
    """After it was up, the path went: ICE says so, or everything of the client's ceased at once and it said no word."""
    # Never certain: a page that is closed without a word looks the same.
    if case.t.up is None:
        return None
    hangup = case.t.end("hangup")
    if case.t.ice_lost is not None and (
        case.since(case.t.ice_lost) >= limit.LOST_NETWORK_S
        or any(state.name == "failed" and state.timestamp_us >= case.t.up.timestamp_us for state in case.t.ice_states)
        or (hangup is not None and hangup.reason == "ICE failed")
    ):
        gone = max(case.since(case.t.ice_lost), case.since(case.t.peer_us))
        return Finding([*_stop_ids(case), case.t.ice_lost, *case.ending], "likely", seconds=round(gone, 1))
    if hangup is not None and hangup.reason == "ICE failed":
        return Finding([*_stop_ids(case), *case.ending], "likely", seconds=round(case.since(case.t.peer_us), 1))
    stops = case.all_stopped
    gone = min((seconds for seconds, _ in stops), default=0.0)
    if gone < limit.LOST_NETWORK_S or case.silence < limit.LOST_NETWORK_S:
        return None
    probes = case.unanswered
    if probes is not None:
        # Consent is asked for each 5 s: two in a row without an answer are no accident.
        if probes < 2:
            return None
        return Finding([*_stop_ids(case), case.t.last_counters, *case.ending], "likely", seconds=round(gone, 1))
    if not case.ended or case.left_by_itself:
        return None
    return Finding([*_stop_ids(case), case.t.transport_closed, *case.ending], "likely", seconds=round(gone, 1))


def _stop_ids(case: Case) -> list[int]:
    return [track.stopped_id for _, track in case.all_stopped]


def session_timeout(case: Case) -> Finding | None:
    """The client's application stopped calling: no keep-alive came in time."""
    timeout = case.t.end("timeout")
    hangup = case.t.end("hangup")
    if timeout is None or (hangup is not None and hangup.timestamp_us < timeout.timestamp_us):
        return None
    return Finding([timeout.event_id, *case.ending], "certain", up=case.t.up is not None)


def media_stopped(case: Case) -> Finding | None:
    """What the client sent has ceased and did not come again, though it never said so in a description."""
    stops = [stop for mid in case.expected if case.heard(mid) and (stop := case.stopped(mid)) is not None]
    lasting = [(seconds, track) for seconds, track in stops if seconds >= limit.NO_MEDIA_S]
    if not lasting:
        return None
    first_us = min(track.stopped_us or 0 for _, track in lasting)
    alive = case.t.peer_us is not None and case.t.peer_us > first_us + 2_000_000
    alive = alive or (case.unanswered is not None and case.unanswered < 2)
    kinds = " and ".join(sorted({track.kind for _, track in lasting}))
    doubt = "" if alive else "; nothing else of the client's was to be heard either, so its network may have gone"
    return Finding(
        [track.stopped_id for _, track in lasting] + [track.last_id for _, track in lasting if track.last is not None],
        "likely" if alive else "possible",
        seconds=round(max(seconds for seconds, _ in lasting), 1),
        media=kinds,
        alive=alive,
        doubt=doubt,
    )


def network_interrupted(case: Case) -> Finding | None:
    """The path was gone for seconds and came back: ICE says so, or a hole in the numbers of the packets."""
    holes = [hole for track in case.t.rtp_tracks() for hole in track.interruptions]
    holes += [out for out in case.t.outages if out[1] - out[0] >= limit.LOST_NETWORK_S * 1e6]
    if not case.final:
        holes = [hole for hole in holes if case.since(hole[1]) < limit.REMB_WINDOW_S]
    if not holes:
        return None
    longest = max(holes, key=lambda hole: hole[1] - hole[0])
    times = len({hole[0] // 2_000_000 for hole in holes})
    return Finding(
        [hole[2] for hole in holes], "likely", seconds=round((longest[1] - longest[0]) / 1e6, 1), times=times
    )


def unstable_path(case: Case) -> Finding | None:
    """The pair in use keeps changing."""
    changes = [
        now for before, now in zip(case.t.selected, case.t.selected[1:], strict=False) if now.ends != before.ends
    ]
    for first, last in zip(changes, changes[limit.PAIR_CHANGES - 1 :], strict=False):
        if last.timestamp_us - first.timestamp_us <= limit.PAIR_CHANGES_S * 1e6 and (
            case.final or case.since(last.timestamp_us) < limit.PAIR_CHANGES_S
        ):
            return Finding([change.event_id for change in changes], "likely", changes=len(changes))
    return None


# --- quality -------------------------------------------------------------------------------------------------


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


def uplink_loss(case: Case) -> Finding | None:
    """Packets of the client's are lost on their way to us. (Janus calls it a slow downlink.)"""
    meters = [(t, t.uplink) for t in case.t.rtp_tracks() if case.final or t.stopped_us is None]
    return _lossy(case, meters, "downlink")


def downlink_loss(case: Case) -> Finding | None:
    """The client reports that packets of ours are lost on their way to it. (Janus calls it a slow uplink.)"""
    return _lossy(case, [(t, t.downlink) for t in case.t.rtp_tracks()], "uplink")


def congestion(case: Case) -> Finding | None:
    """Loss both ways, and a round trip far above the call's best."""
    up, down = uplink_loss(case), downlink_loss(case)
    if up is None or down is None:
        return None
    slow = [
        track
        for track in case.t.rtp_tracks()
        if track.rtt_ms and track.best_rtt_ms and track.rtt_ms >= track.best_rtt_ms + limit.RTT_RISE_MS
    ]
    if not slow:
        return None
    track = max(slow, key=lambda each: each.rtt_ms or 0)
    return Finding(
        [*up.evidence, *down.evidence, track.last_id],
        "likely",
        rtt_ms=round(track.rtt_ms or 0),
        best_ms=round(track.best_rtt_ms or 0),
        percent=up.detail["percent"],
    )


def bandwidth_drop(case: Case) -> Finding | None:
    """The client's estimate of what reaches it fell by half within seconds, and the round trip grew."""
    fallen = [track for track in case.t.rtp_tracks() if track.remb_fall > limit.REMB_FALL]
    if not fallen or uplink_loss(case) or downlink_loss(case):
        return None
    worst = max(fallen, key=lambda track: track.remb_fall)
    if not case.final and case.since(worst.remb[-1][0] if worst.remb else None) > limit.REMB_WINDOW_S:
        return None
    return Finding(worst.remb_evidence, "possible", percent=round(100 * worst.remb_fall))


def high_jitter(case: Case) -> Finding | None:
    """Audio comes unevenly, though little of it is lost."""
    rough = [t for t in case.t.rtp_tracks() if (t.worst_jitter_ms > 0 if case.final else t.jitter_active)]
    if not rough or uplink_loss(case) is not None:
        return None
    worst = max(rough, key=lambda track: track.worst_jitter_ms)
    return Finding(worst.jitter_evidence, "likely", jitter_ms=round(worst.worst_jitter_ms))


def keyframe_storm(case: Case) -> Finding | None:
    """The client asks for a new picture again and again."""
    asking = [track for track in case.t.rtp_tracks() if track.keyframe_rate > limit.KEYFRAME_REQUESTS_PER_S]
    if not asking:
        return None
    worst = max(asking, key=lambda track: track.keyframe_rate)
    return Finding(worst.keyframe_evidence, "likely", per_second=round(worst.keyframe_rate, 2))


def loss_repaired(case: Case) -> Finding | None:
    """Much was asked for again, and came: the person hardly noticed."""
    for track in case.t.rtp_tracks():
        last = track.last
        if last is None or not last.nacks_sent or last.in_media_link_quality is None:
            continue
        share = last.nacks_sent / max(1, track.packets_received)
        if share > limit.NACK_SHARE and last.in_media_link_quality >= limit.REPAIRED_QUALITY:
            return Finding([track.last_id], "likely", percent=round(100 * share, 1))
    return None
