"""A path that went, came back or keeps changing, and media that ceased on one that is well."""

from appliance.diagnosis import thresholds as limit
from appliance.diagnosis.case import Case, Finding
from appliance.diagnosis.rules.rule import rule


@rule(
    phase="media",
    severity="fault",
    actor="network",
    absence=True,
    sentence="The client's packets ceased all at once and nothing more came for {seconds} s: its network went"
    " (a change of network, sleep), or its page was closed without a word; the two look alike from here.",
    advice="Let the client watch its connection state and restart ICE after some 10 s; look at its network.",
    disproof="Any packet of the client's after that moment, or a close_notify.",
)
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


@rule(
    phase="media",
    severity="notice",
    actor="application developer",
    absence=True,
    sentence="The client stopped sending {media} {seconds} s before the end, without negotiating it{doubt}.",
    advice="A mute that stops the track does this, as do an unplugged device and a crashed encoder; a mute that"
    " disables the track does not.",
    disproof="Packets of that medium after that moment.",
)
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


@rule(
    phase="media",
    severity="fault",
    actor="network",
    beside=True,
    sentence="The path was gone for {seconds} s and came back ({times} times): packets were sent and did not come.",
    advice="Look at the client's network at that time: a change of access point, Wi-Fi to mobile, a VPN.",
    disproof="Packet numbers without a hole over that time (the client had paused).",
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


@rule(
    phase="media",
    severity="notice",
    actor="network",
    beside=True,
    sentence="The path changed {changes} times: the client moves between networks, or a pair keeps failing.",
    advice="Look at the addresses of the selected pairs: Wi-Fi against mobile, IPv4 against IPv6.",
    disproof="The same addresses in all selected pairs.",
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
