"""``/api/members``: who was in a room, or where a user was, who watches whom, on which handles, from which address."""

from aiohttp import web

from appliance.console.answer import json_response
from appliance.console.operations import MEMBERS, MembersAnswer
from appliance.console.parameters import BadParameterError
from appliance.core.archive import Archive


async def members_response(request: web.Request, archive: Archive) -> web.Response:
    """``room`` or ``user`` (opaque id or display name), or both; ``server``, ``since`` in microseconds.

    :raises BadParameterError: neither is given, or one is no such thing.
    """
    asked = MEMBERS.read(request)
    if asked["room"] is None and asked["user"] is None:
        raise BadParameterError("room: nothing came, wanted a room, or a user's opaque id or display name as user")
    since_us = asked.pop("since")
    return json_response(MembersAnswer(members=await archive.members(**asked, since_us=since_us)))
