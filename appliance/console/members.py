"""``/api/members``: who was in a room, or where a user was, who watches whom, on which handles, from which address."""

from aiohttp import web

from appliance.console import parameters
from appliance.console.answer import json_response
from appliance.console.parameters import BadParameterError
from appliance.core.archive import Archive


async def members_response(request: web.Request, archive: Archive) -> web.Response:
    """``room`` or ``user`` (opaque id or display name), or both; ``server``, ``since`` in microseconds.

    :raises BadParameterError: neither is given, or one is no such thing.
    """
    room, user = parameters.text(request, "room") or None, parameters.text(request, "user") or None
    if room is None and user is None:
        raise BadParameterError("room: nothing came, wanted a room, or a user's opaque id or display name as user")
    members = await archive.members(
        room=room,
        user=user,
        server=parameters.text(request, "server") or None,
        since_us=parameters.integer(request, "since", 0, 0, 2**63 - 1),
    )
    return json_response({"members": members})
