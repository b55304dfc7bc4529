"""A call in one row once it is over: who, where from, how long each step took, how good it was, and the verdict.

What telephony calls a call detail record. It travels in the event stream as an external event, so that whoever keeps,
ships or counts events has it, and calls can be grouped by what they have in common.
"""

import ipaddress

from msgspec import Struct

from appliance.core.events import CALL_SCHEMA
from appliance.diagnosis.agent import by_header
from appliance.diagnosis.phases import phases
from appliance.diagnosis.timeline import Timeline
from appliance.diagnosis.verdict import Verdict

SCHEMA = CALL_SCHEMA
"""``External.schema`` under which records travel."""


class CallRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One PeerConnection. As built-in types it is the ``data`` of an event of :data:`SCHEMA`.

    What is absent was not told or never came about. Loss is a share of the whole call, 0 to 1, of the worst track;
    ``in`` is from the client. A step's duration is there only where the step was completed.
    """

    correlation_id: str | None
    server: str
    session_id: int | None
    handle_id: int | None
    opaque_id: str | None = None
    plugin: str | None = None
    room: str | None = None
    display: str | None = None
    """Of the participant, as the plugin told it."""
    client_address: str | None = None
    """Of the API client, ``ip:port``."""
    network: str | None = None
    """Where the media came from (else the API client): /24 of IPv4, /48 of IPv6."""
    browser: str | None = None
    """One of :data:`appliance.diagnosis.agent.FAMILIES`."""
    transport: str | None = None
    """Of the API."""
    started_us: int
    up_us: int | None = None
    ended_us: int
    duration_us: int
    """From being up to the end; 0 where it never was up."""
    phases_us: dict[str, int] = {}
    """Durations of the steps that were completed, by their names."""
    stopped_in: str | None = None
    """The step that failed."""
    local_type: str | None = None
    remote_type: str | None = None
    """Candidate types of the selected pair: host, srflx, prflx, relay."""
    selected_pair: str | None = None
    ice_restarts: int = 0
    codecs: list[str] = []
    packets_in: int = 0
    packets_out: int = 0
    loss_in: float | None = None
    loss_out: float | None = None
    jitter_ms: float | None = None
    """The highest that lasted, else the latest."""
    rtt_ms: float | None = None
    """The latest."""
    hangup_reason: str | None = None
    code: str
    """Of the verdict."""
    severity: str
    actor: str


def record(t: Timeline, verdict: Verdict) -> CallRecord:
    """Sum a call up that is over."""
    steps = phases(t, verdict)
    selected = t.selected[-1] if t.selected else None
    tracks = t.rtp_tracks()
    up_us = t.up.timestamp_us if t.up else None
    started_us = t.descriptions[0].timestamp_us if t.descriptions else t.started_us or t.last_us
    ended_us = t.ended_us if t.ended_us is not None else t.last_us
    return CallRecord(
        correlation_id=t.correlation_id,
        server=t.emitter,
        session_id=t.session_id,
        handle_id=t.handle_id,
        opaque_id=t.opaque_id,
        plugin=t.plugin,
        room=t.room,
        display=t.display,
        client_address=t.client_address,
        network=_network_of(t),
        browser=by_header(t.user_agent or "") or t.implementation,
        transport=t.transport,
        started_us=started_us,
        up_us=up_us,
        ended_us=ended_us,
        duration_us=max(0, ended_us - up_us) if up_us is not None else 0,
        phases_us={
            step.name: step.duration_us
            for step in steps
            if step.outcome == "ok" and step.duration_us is not None and step.name != "end"
        },
        stopped_in=next((step.name for step in steps if step.outcome == "failed"), None),
        local_type=selected.local_type if selected else None,
        remote_type=selected.remote_type if selected else None,
        selected_pair=selected.text if selected else None,
        ice_restarts=t.ice_restarts,
        codecs=sorted({track.codec for track in tracks if track.codec}),
        packets_in=sum(track.packets_received for track in tracks),
        packets_out=sum(track.packets_sent for track in tracks),
        loss_in=_worst([track.uplink.share for track in tracks]),
        loss_out=_worst([track.downlink.share for track in tracks]),
        jitter_ms=_worst([track.worst_jitter_ms or track.jitter_ms for track in tracks]),
        rtt_ms=_worst([track.rtt_ms for track in tracks]),
        hangup_reason=t.hangup_reason,
        code=verdict.code,
        severity=verdict.severity,
        actor=verdict.actor,
    )


def network(address: str) -> str | None:
    """The /24 or /48 of ``ip``, ``ip:port`` or ``[ip]:port``, about one office; ``None`` where it is no address."""
    host = address.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        ip = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return str(ipaddress.ip_network((ip, 24 if ip.version == 4 else 48), strict=False))


def _network_of(t: Timeline) -> str | None:
    remote = t.selected[-1].text.partition(" <-> ")[2].partition(" ")[0] if t.selected else ""
    return network(remote) or network(t.client_address or "")


def _worst(values: list[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
