"""Media that should be there and is not, in a PeerConnection that came up."""

from appliance.diagnosis import thresholds as limit
from appliance.diagnosis.case import Case, Finding
from appliance.diagnosis.rules.rule import rule


def _faulty(case: Case, kinds: set[str]) -> Finding | None:
    count = sum(number for kind, number in case.t.faults.items() if kind in kinds)
    received = sum(track.packets_received for track in case.t.rtp_tracks())
    if case.t.up is None or count < limit.FAULT_MIN or count < limit.FAULT_SHARE * received:
        return None
    return Finding(case.t.fault_ids, "certain", count=count, received=received)


@rule(
    phase="first_media",
    severity="fault",
    actor="application developer",
    sentence="{count} packets of the client's failed their SRTP authentication ({received} were good).",
    advice="Keys differ: look for a renegotiation with a new DTLS association on one side only, or for packets of"
    " another call at this port.",
    disproof="Packets of the same SSRC that authenticate.",
)
def srtp_decrypt_failed(case: Case) -> Finding | None:
    """Packets come, and their authentication fails."""
    return _faulty(case, {"srtp_auth"})


@rule(
    phase="first_media",
    severity="fault",
    actor="application developer",
    sentence="{count} packets of the client's belong to no negotiated stream ({received} do).",
    advice="Compare payload types, mids and SSRCs with the last answer: it may not have been applied.",
    disproof="A negotiated payload type or mid that these packets carry.",
)
def rtp_unroutable(case: Case) -> Finding | None:
    """Packets come, and belong to no stream that was agreed on."""
    return _faulty(case, {"unknown_payload_type", "unknown_ssrc", "unknown_mid", "ssrc_limit"})


@rule(
    phase="first_media",
    severity="fault",
    actor="client",
    absence=True,
    sentence="The call was up, but the client sent no {media} at all in {seconds} s, although it had agreed to.",
    advice="Check permission, a muted or missing device, and that the track was added before the offer.",
    disproof="RTP of the client's, or a description in which it does not send.",
)
def no_media_from_client(case: Case) -> Finding | None:
    """It agreed to send audio or video, and none has come."""
    speechless = _missing(case, "audio")
    if speechless is not None and not any(case.told(mid) for mid in case.owed if case.t.kind_of(mid) == "audio"):
        # Its video comes. Where its side hears somebody, it is one-way audio.
        return Finding(speechless.evidence, "likely", media="audio", **speechless.detail)
    waiting = [seconds for seconds in case.expected.values() if seconds > limit.NO_MEDIA_S]
    if not waiting or len(waiting) < len(case.expected) or any(case.heard(mid) for mid in case.expected):
        return None
    if not any(case.measured(mid) for mid in case.expected):
        # Many servers are set to tell nothing of media (their handler's mask, no stats_period).
        return None
    known = case.silence < limit.NO_MEDIA_S or case.left_by_itself
    sure = "certain" if known else "likely"
    kinds = " and ".join(sorted({case.t.kind_of(mid) for mid in case.expected}))
    stats = [track.last_id for mid in case.expected for track in case.t.of_mid(mid) if track.last is not None]
    remote = case.t.remote.event_id if case.t.remote else None
    return Finding([remote, case.t.up, *stats], sure, seconds=round(max(waiting), 1), media=kinds)


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


@rule(
    phase="first_media",
    severity="fault",
    actor="client",
    absence=True,
    sentence="Audio goes one way only: none {direction} in {seconds} s.",
    advice="From the client: microphone, permission, track. To the client: is there anybody to be heard?",
    disproof="Audio packets in that direction.",
)
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


@rule(
    phase="first_media",
    severity="notice",
    actor="client",
    absence=True,
    sentence="The client's audio comes, but no video in {seconds} s, although it had agreed to send some.",
    advice="Nothing, if the camera is meant to be off; else check permission and the device.",
    disproof="Video packets of the client's.",
)
def no_video_from_client(case: Case) -> Finding | None:
    """Its audio comes, its video never did."""
    return _missing(case, "video")


@rule(
    phase="first_media",
    severity="notice",
    actor="application developer",
    absence=True,
    sentence="The server had agreed to send, and sent nothing in {seconds} s.",
    advice="Check that the plugin has a source for this client: nobody may be publishing.",
    disproof="Packets sent on that medium.",
)
def no_media_to_client(case: Case) -> Finding | None:
    """We agreed to send audio or video, and have sent none."""
    owed = {mid: seconds for mid, seconds in case.owed.items() if case.measured(mid)}
    if not owed or any(case.told(mid) for mid in owed) or max(owed.values()) <= limit.NO_MEDIA_S:
        return None
    stats = [track.last_id for mid in owed for track in case.t.of_mid(mid)]
    return Finding([case.t.up, *stats], "likely", seconds=round(max(owed.values()), 1))


@rule(
    phase="media",
    severity="fault",
    actor="client",
    absence=True,
    beside=True,
    sentence="The client was asked for a key frame {asked} times in {seconds} s, and its video went on without one:"
    " whoever had no picture by then, or had lost it, got none.",
    advice="Its encoder ignores the requests (often one in hardware: let it negotiate another codec), or they do not"
    " reach it: look for loss towards the client.",
    disproof="A key frame in the packets of that time, or a receiver whose count of decoded frames rises.",
)
def no_keyframe(case: Case) -> Finding | None:
    """Its video comes, but no key frame when it is asked for one, as for whoever joins. (Our gateways only.)"""
    waits = []
    for track in case.t.rtp_tracks():
        wait = track.keyframe_wait
        seconds, asked = (wait.worst_s, wait.worst_asked) if case.final else (wait.seconds, wait.asked)
        # Requests are told with the lowest encoding of simulcast, and may have been for another.
        layers = [other.keyframe_wait for other in case.t.of_mid(track.mid) if other is not track]
        if seconds >= limit.NO_KEYFRAME_S and not any(layer.seen_us for layer in layers):
            waits.append((seconds, asked, wait))
    if not waits:
        return None
    seconds, asked, wait = max(waits, key=lambda one: one[0])
    return Finding(wait.evidence, "likely", seconds=round(seconds, 1), asked=asked)
