"""``/api/servers``: what a server has now (sessions, handles, settings), asked of its Admin API while somebody looks.

The rest of the console is a function of the events; this is not, so it may differ from them for a moment.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec
from aiohttp import web

from appliance.console import parameters
from appliance.console.answer import error_response, json_response
from appliance.console.parameters import BadParameterError, small_body
from appliance.console.settings import ServerAddress
from appliance.core.archive import Archive
from appliance.core.auth import secret_of
from appliance.core.handler import Gateways
from appliance.net.admin_client import AdminClient, AdminRefusedError
from appliance.net.link_connection import RequestRefusedError
from appliance.net.tls import ClientTls

MAX_SESSIONS = 200
"""Shown at once; whoever looks for another searches for its id."""
MAX_HANDLES = 50
"""Of one session."""
MAX_BODY = 4096
LARGEST_ID = 2**64 - 1
NO_SESSION, NO_HANDLE = 458, 459
"""Janus's codes."""
MAX_VALUE = 2**31

Route = Callable[[web.Request], Awaitable[web.StreamResponse]]

CHANGES: dict[str, tuple[str, str, type]] = {
    "log_level": ("set_log_level", "level", int),
    "log_timestamps": ("set_log_timestamps", "timestamps", bool),
    "session_timeout": ("set_session_timeout", "timeout", int),
    "no_media_timer": ("set_no_media_timer", "no_media_timer", int),
    "slowlink_threshold": ("set_slowlink_threshold", "slowlink_threshold", int),
    "min_nack_queue": ("set_min_nack_queue", "min_nack_queue", int),
    "nack-optimizations": ("set_nack_optimizations", "nack_optimizations", bool),
    "accepting-new-sessions": ("accept_new_sessions", "accept", bool),
}
"""What can be changed, as ``get_status`` and ``info`` name it: the request, its argument, and of what type that is."""


def client_of(address: ServerAddress, *, secret: str = "") -> AdminClient:
    """Whoever asks that server. ``secret``: in place of the file's.

    :raises ValueError: the address is none, or a file is no good; the message names the setting.
    """
    return AdminClient(
        address.name,
        address.url,
        secret=secret or secret_of(f"admin: {address.name}: secret", "", address.secret_file),
        tls=ClientTls(tls_ca_file=address.ca_file, tls_verify=address.verify),
    )


class ServerRoutes:
    """Those that are configured by name, and whatever else is there now."""

    def __init__(
        self,
        clients: Iterable[AdminClient] = (),
        archive: Archive | None = None,
        *,
        is_there: Callable[[str], bool] = lambda name: True,
        gateways: Gateways | None = None,
    ) -> None:
        """``is_there``: whether a server is to be shown; one of ours that is not connected would only fail.
        ``gateways``: those of ours, which hang up over their link too."""
        self._clients = {client.name: client for client in clients}
        self._archive = archive
        self._is_there = is_there
        self._gateways = gateways

    def data(self) -> tuple[tuple[str, Route], ...]:
        """What is read."""
        return (
            ("/api/servers", self._list),
            ("/api/servers/{server}", self._server),
            ("/api/servers/{server}/sessions/{session}", self._session),
            ("/api/servers/{server}/sessions/{session}/handles/{handle}", self._handle),
        )

    def changes(self) -> tuple[tuple[str, str, Route], ...]:
        """What is changed: method, path, handler."""
        return (
            ("POST", "/api/servers/{server}/settings", self._set),
            ("POST", "/api/servers/{server}/sessions/{session}/destroy", self._destroy),
            ("POST", "/api/servers/{server}/sessions/{session}/handles/{handle}/hangup", self._hang_up),
            ("POST", "/api/calls/{correlation_id}/hangup", self._hang_up_call),
        )

    async def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            await client.close()

    # --- reading -------------------------------------------------------------------------------------------------

    async def _list(self, _request: web.Request) -> web.Response:
        return json_response({"servers": [name for name in self._clients if self._is_there(name)]})

    async def _server(self, request: web.Request) -> web.Response:
        find = parameters.text(request, "find").strip()

        async def look(client: AdminClient) -> dict[str, Any]:
            info, status, listed = await asyncio.gather(
                client.ask("info"), client.ask("get_status"), client.ask("list_sessions")
            )
            sessions = [one for one in listed.get("sessions", ()) if isinstance(one, int)]
            found = [one for one in sessions if find in str(one)]
            return {
                "name": client.name,
                "info": {
                    key: value for key, value in info.items() if key not in {"janus", "transaction", "dependencies"}
                },
                "status": status.get("status", {}),
                "changes": {name: kind.__name__ for name, (_, _, kind) in CHANGES.items()},
                "total": len(sessions),
                "found": len(found),
                "sessions": found[:MAX_SESSIONS],
            }

        return await self._answer(request, look)

    async def _session(self, request: web.Request) -> web.Response:
        session = _id(request, "session")

        async def look(client: AdminClient) -> dict[str, Any]:
            listed = await client.ask("list_handles", session)
            handles = [one for one in listed.get("handles", ()) if isinstance(one, int)]
            told = await asyncio.gather(*(_told(client, session, one) for one in handles[:MAX_HANDLES]))
            return {"session": session, "total": len(handles), "handles": [one for one in told if one is not None]}

        return await self._answer(request, look)

    async def _handle(self, request: web.Request) -> web.Response:
        ids = _id(request, "session"), _id(request, "handle")

        async def look(client: AdminClient) -> dict[str, Any]:
            return {"info": (await client.ask("handle_info", *ids)).get("info", {})}

        return await self._answer(request, look)

    # --- changing ------------------------------------------------------------------------------------------------

    async def _set(self, request: web.Request) -> web.Response:
        verb, argument, value = await _change(request)

        async def change(client: AdminClient) -> dict[str, Any]:
            await client.ask(verb, **{argument: value})
            return {}

        return await self._answer(request, change)

    async def _destroy(self, request: web.Request) -> web.Response:
        session = _id(request, "session")

        async def destroy(client: AdminClient) -> dict[str, Any]:
            await client.ask("destroy_session", session)
            return {}

        return await self._answer(request, destroy)

    async def _hang_up(self, request: web.Request) -> web.Response:
        ids = _id(request, "session"), _id(request, "handle")

        async def hang_up(client: AdminClient) -> dict[str, Any]:
            await client.ask("hangup_webrtc", *ids)
            return {}

        return await self._answer(request, hang_up)

    async def _hang_up_call(self, request: web.Request) -> web.Response:
        correlation_id = parameters.correlation_id(request)
        call = None if self._archive is None else await self._archive.call(correlation_id)
        if call is None:
            return error_response(404, "unknown_call", f"no call {correlation_id!r} is known")
        ids = call.session_id, call.handle_id
        if call.server in self._clients:

            async def hang_up(client: AdminClient) -> dict[str, Any]:
                await client.ask("hangup_webrtc", *ids)
                return {}

            return await self._ask(self._clients[call.server], hang_up)
        return await self._hang_up_over_link(call.server, *ids)

    async def _hang_up_over_link(self, server: str, session_id: int, handle_id: int) -> web.Response:
        """A gateway of ours obeys its collector, whether or not its Admin API is known here."""
        try:
            if self._gateways is None:
                raise LookupError
            await self._gateways.request(server, "hangup", {"session_id": session_id, "handle_id": handle_id})
        except LookupError:
            message = f"the Admin API of {server!r} is not configured; console.admin would name it"
            return error_response(404, "unknown_server", message)
        except (ConnectionError, TimeoutError) as problem:
            return error_response(502, "unreachable", f"{server}: {problem or 'no answer'}")
        except RequestRefusedError as refusal:
            return error_response(502, "refused", f"{server}: {refusal}")
        return json_response({})

    # --- asking --------------------------------------------------------------------------------------------------

    async def _answer(
        self, request: web.Request, action: Callable[[AdminClient], Awaitable[dict[str, Any]]]
    ) -> web.Response:
        name = request.match_info["server"]
        client = self._clients.get(name)
        if client is None:
            return error_response(404, "unknown_server", f"no Admin API of a server {name[:200]!r} is configured")
        return await self._ask(client, action)

    async def _ask(
        self, client: AdminClient, action: Callable[[AdminClient], Awaitable[dict[str, Any]]]
    ) -> web.Response:
        try:
            return json_response(await action(client))
        except AdminRefusedError as refusal:
            status = 404 if refusal.code in {NO_SESSION, NO_HANDLE} else 502
            return error_response(status, "refused", f"{client.name}: {refusal}")
        except ConnectionError as problem:
            return error_response(502, "unreachable", f"{client.name}: {problem}")


async def _told(client: AdminClient, session: int, handle: int) -> dict[str, Any] | None:
    """What a handle is in a line; ``None`` where it has gone meanwhile."""
    try:
        info = (await client.ask("handle_info", session, handle)).get("info", {})
    except AdminRefusedError as refusal:
        if refusal.code in {NO_SESSION, NO_HANDLE}:
            return None
        raise
    webrtc = info.get("webrtc")
    webrtc = webrtc if isinstance(webrtc, dict) else {}
    specific = info.get("plugin_specific")
    specific = specific if isinstance(specific, dict) else {}
    return {
        "handle": handle,
        "plugin": info.get("plugin"),
        "opaque_id": info.get("opaque_id"),
        "room": specific.get("room"),
        "ice": _state(webrtc.get("ice")),
        "dtls": _state(webrtc.get("dtls")),
        "up": bool(webrtc),
    }


def _state(part: Any) -> Any:
    return next((part[key] for key in ("state", "dtls-state") if key in part), None) if isinstance(part, dict) else None


def _id(request: web.Request, name: str) -> int:
    value = request.match_info[name]
    if not (value.isascii() and value.isdigit() and len(value) <= 20 and 0 < int(value) <= LARGEST_ID):
        raise BadParameterError(f"{name}: {value[:40]!r} came, wanted an id")
    return int(value)


async def _change(request: web.Request) -> tuple[str, str, Any]:
    """``{"name": "log_level", "value": 5}``. :raises BadParameterError: it is not that."""
    body = await small_body(request, MAX_BODY)
    try:
        said = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise BadParameterError('wanted {"name": "log_level", "value": 5}') from None
    name, value = said.get("name"), said.get("value")
    if not isinstance(name, str) or name not in CHANGES:
        raise BadParameterError(f"name: {str(name)[:40]!r} came, wanted one of {', '.join(CHANGES)}")
    verb, argument, kind = CHANGES[name]
    fits = isinstance(value, bool) if kind is bool else type(value) is int and 0 <= value <= MAX_VALUE
    if not fits:
        wanted = "true or false" if kind is bool else f"an integer from 0 to {MAX_VALUE}"
        raise BadParameterError(f"{name}: {str(value)[:40]!r} came, wanted {wanted}")
    return verb, argument, value
