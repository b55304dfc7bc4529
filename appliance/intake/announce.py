"""Makes events of what an Admin API says of a session or handle whose own events were missed. Pure.

They are what the server would have told, as far as ``handle_info`` says it, with the times that it says: it counts
microseconds from a start of its own, so that its present time is what ties them to the wall clock. They are marked as
told again (``replayed``), because an earlier collector may have had the real ones: nothing counts or sends them on.
"""

from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from appliance.core.events import (
    Body,
    Connection,
    DtlsState,
    Event,
    Handle,
    IceState,
    Jsep,
    MediaState,
    Plugin,
    SelectedPair,
    Session,
    SessionDescription,
    TransportRef,
    event,
)

MAX_MEDIA = 64
"""M-lines of one handle."""
MAX_TEXT = 255
MAX_SDP = 64 * 1024
Info = dict[str, Any]


def announce_session(name: str, session_id: int, info: Info, now_us: int) -> Event:
    """A session; ``info``: of one of its handles, empty where there is none. Its connection is not told there."""
    transport = _text(info.get("session_transport"))
    body = Session(name="created", transport=TransportRef(transport, "") if transport is not None else None)
    made = event(body, emitter=name, timestamp=_at(info, "created", now_us), session_id=session_id)
    return replace(made, replayed=True, inferred=True)


def announce_handle(name: str, session_id: int, handle_id: int, info: Info, now_us: int) -> Iterator[Event]:
    """A handle, and its PeerConnection where it has one. ``now_us``: when ``info`` came, wall clock."""
    opaque_id = _text(info.get("opaque_id"))
    latest = 0
    for body, when in _bodies(info, opaque_id):
        latest = max(latest, _at(info, when, now_us))
        made = event(
            body, emitter=name, timestamp=latest, session_id=session_id, handle_id=handle_id, opaque_id=opaque_id
        )
        yield replace(made, replayed=True, inferred=True)


def has_peer(info: Info) -> bool:
    """Whether a handle has a PeerConnection."""
    return bool(_peer(info))


def _bodies(info: Info, opaque_id: str | None) -> Iterator[tuple[Body, object]]:
    """Each with its time, as the server counts it; what is no number: now."""
    yield Handle(name="attached", plugin=_text(info.get("plugin")) or "", opaque_id=opaque_id), info.get("created")
    peer = _peer(info)
    if peer:
        yield from _of_peer(info, peer)
    specific = _table(info.get("plugin_specific"))
    told = {key: specific[key] for key in ("room", "display") if isinstance(specific.get(key), str | int)}
    if told:
        yield Plugin(plugin=_text(info.get("plugin")) or "", data=told), None


def _of_peer(info: Info, peer: Info) -> Iterator[tuple[Body, object]]:
    begun = info.get("agent-created")
    for owner, description in _descriptions(info):
        yield Jsep(owner=owner, jsep=description), begun
    ice, dtls = _table(peer.get("ice")), _table(peer.get("dtls"))
    connected = ice.get("connected")
    if ice.get("state") in {"connected", "ready"}:
        yield IceState(ice="connected"), connected
    pair = _text(ice.get("selected-pair"))
    if pair:
        yield SelectedPair(pair=pair), connected
    if dtls.get("dtls-state") == "connected":
        done = dtls.get("connected")
        yield DtlsState(dtls="connected"), done
        yield Connection(connection="webrtcup"), done
    for mid, medium in list(_table(peer.get("media")).items())[:MAX_MEDIA]:
        kind = _table(medium).get("type")
        arrived = _table(_table(_table(medium).get("stats")).get("in")).get("packets")
        if kind in {"audio", "video"} and isinstance(arrived, int) and arrived > 0:
            yield MediaState(media=kind, mid=mid[:MAX_TEXT], receiving=True), None


def _descriptions(info: Info) -> list[tuple[str, SessionDescription]]:
    """Whose, and what, the offer first: the one that leaves the DTLS role open (RFC 8842 section 5.2)."""
    sdps = _table(info.get("sdps"))
    both = ((owner, sdps.get(owner)) for owner in ("remote", "local"))
    found = {owner: sdp for owner, sdp in both if isinstance(sdp, str) and 0 < len(sdp) <= MAX_SDP}
    server_offers = "a=setup:actpass" in found.get("local", "") or (
        "a=setup:actpass" not in found.get("remote", "") and info.get("ice-role") == "controlling"
    )
    order = ("local", "remote") if server_offers else ("remote", "local")
    kinds = zip(order, ("offer", "answer"), strict=True)
    return [(owner, SessionDescription(kind, found[owner])) for owner, kind in kinds if owner in found]


def _peer(info: Info) -> Info:
    """``webrtc`` of Janus 1.x; of 0.x the first of ``streams``, with the parts that are called alike."""
    peer = _table(info.get("webrtc"))
    streams = info.get("streams")
    if peer or not isinstance(streams, list) or not streams:
        return peer
    components = _table(streams[0]).get("components")
    component = _table(components[0]) if isinstance(components, list) and components else {}
    return {"ice": component, "dtls": component.get("dtls"), "media": {}}


def _at(info: Info, moment: object, now_us: int) -> int:
    """A moment of the server's own clock (or the name of one) by the wall clock."""
    if isinstance(moment, str):
        moment = info.get(moment)
    present = info.get("current_time")
    if type(moment) is not int or type(present) is not int or not 0 <= present - moment <= now_us:
        return now_us
    return now_us - (present - moment)


def _table(value: object) -> Info:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value[:MAX_TEXT] if isinstance(value, str) and value else None
