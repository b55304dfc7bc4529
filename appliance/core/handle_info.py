"""``info`` of the Admin API's ``handle_info``: everything that is known of a handle, in Janus's keys and order.

Times are Unix microseconds. Janus counts them from its own start, so that only differences mean anything there; here
they also say when.
"""

from typing import TYPE_CHECKING, Any

from appliance.core.server_info import whole

if TYPE_CHECKING:
    from appliance.core.gateway import Gateway
    from appliance.core.handle import Handle
    from appliance.core.session import Session


def handle_info(gateway: "Gateway", session: "Session", handle: "Handle", *, plugin_only: bool) -> dict[str, Any]:
    """``plugin_only`` leaves out what is about WebRTC."""
    clock = gateway.context.clock
    now_us = clock.wall_us()
    idle_us = int((clock.monotonic() - session.last_activity) * 1_000_000)
    info: dict[str, Any] = {
        "session_id": session.id,
        "session_last_activity": now_us - idle_us,
        "session_timeout": whole(gateway.timeout_of(session)),
        "session_transport": session.client.transport,
        "handle_id": handle.handle_id,
    }
    if handle.opaque_id is not None:
        info["opaque_id"] = handle.opaque_id
    info |= {
        "loop-running": True,
        "created": handle.created_us,
        "current_time": now_us,
        "plugin": handle.plugin.package,
        "plugin_specific": handle.query(),
    }
    return info if plugin_only else info | _webrtc(handle)


def _webrtc(handle: "Handle") -> dict[str, Any]:
    facts, peer = handle.facts, None if handle.line is None else handle.line.peer
    found: dict[str, Any] = {"flags": handle.flags()}
    described = None if peer is None else peer.describe()
    if described is not None:
        agent = described["ice"]
        found["agent-created"] = facts.created_us
        if facts.started_us is not None:
            found["agent-started"] = facts.started_us
        # An engine that can be either says which it is.
        found["ice-mode"] = agent.pop("mode", "lite")
        found["ice-role"] = agent.pop("role", "controlled")
    found["sdps"] = facts.shown()
    if handle.early_candidates:
        found["pending-trickles"] = handle.early_candidates
    found["queued-packets"] = 0
    capture = handle.packets.capture
    if capture is not None:
        kind = "text2pcap" if capture.text else "pcap"
        found |= {f"dump-to-{kind}": True, f"{kind}-file": capture.path}
    return found if described is None else found | {"webrtc": described}
