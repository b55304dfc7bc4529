"""What the collector may ask of a gateway over their link: to hang up, to describe a handle, to take no more calls."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from appliance.core.errors import shown

if TYPE_CHECKING:
    from appliance.core.gateway import Gateway
    from appliance.core.handle import Handle

VERBS = (
    "accept_new_sessions", "describe", "destroy_session", "hangup", "list_sessions",
    "record_start", "record_stop", "record_take", "record_written",
)  # fmt: skip


def serve_command(gateway: "Gateway", verb: str, args: Mapping[str, object]) -> dict[str, Any]:
    """Serve one.

    :raises LookupError: there is no such verb, session or handle.
    :raises ValueError: an argument is missing or of the wrong type.
    """
    match verb:
        case "list_sessions":
            return {"sessions": {str(one.id): list(one.handles) for one in gateway.sessions.values()}}
        case "describe":
            return _describe(_handle(gateway, args))
        case "hangup":
            handle = _handle(gateway, args)
            had_peer = handle.peer is not None
            handle.hangup("Admin API")
            return {"hung_up": had_peer}
        case "destroy_session":
            session_id = _integer(args, "session_id")
            if not gateway.destroy_session(session_id):
                raise LookupError(f"no such session {session_id}")
            return {}
        case "accept_new_sessions":
            accept = args.get("accept")
            if not isinstance(accept, bool):
                raise ValueError(f"accept: {accept!r} came, wanted true or false")
            gateway.accepting = accept
            return {"accept": accept}
        case "record_start" | "record_stop" | "record_take" | "record_written":
            return _record(gateway, verb, args)
        case _:
            raise LookupError(f"no such command {shown(verb)!r}; known: {', '.join(VERBS)}")


def _record(gateway: "Gateway", verb: str, args: Mapping[str, object]) -> dict[str, Any]:
    recorder = gateway.context.recorder
    if recorder is None:
        raise LookupError("this gateway keeps no recordings")
    if verb == "record_written":
        return recorder.written(str(args.get("file")))
    session_id, handle_id = _integer(args, "session_id"), _integer(args, "handle_id")
    if verb == "record_take":
        return recorder.take(session_id, handle_id)
    handle = _handle(gateway, args)
    if verb == "record_start":
        handle.packets.set_record(recorder.start(session_id, handle_id))
    else:
        recorder.stop(session_id, handle_id)
        handle.packets.set_record(recorder.attached(session_id, handle_id))
    return {}


def _integer(args: Mapping[str, object], name: str) -> int:
    value = args.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{name}: {shown(repr(value))} came, wanted an integer")
    return value


def _handle(gateway: "Gateway", args: Mapping[str, object]) -> "Handle":
    session_id, handle_id = _integer(args, "session_id"), _integer(args, "handle_id")
    session = gateway.sessions.get(session_id)
    if session is None:
        raise LookupError(f"no such session {session_id}")
    if handle_id not in session.handles:
        raise LookupError(f"no such handle {handle_id} in session {session_id}")
    return session.handles[handle_id]


def _describe(handle: "Handle") -> dict[str, Any]:
    info: dict[str, Any] = {"session_id": handle.session_id, "handle_id": handle.handle_id}
    if handle.opaque_id is not None:
        info["opaque_id"] = handle.opaque_id
    info |= {"plugin": handle.plugin.package, "plugin_specific": handle.query()}
    return info | ({} if handle.peer is None else {"webrtc": handle.peer.describe()})
