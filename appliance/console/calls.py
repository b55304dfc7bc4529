"""``/api/calls``: the list of calls, and which verdicts each severity has."""

from aiohttp import web

from appliance.console.answer import json_response
from appliance.console.operations import ANY, CALLS, CallsAnswer
from appliance.console.parameters import BadParameterError
from appliance.core.archive import Archive
from appliance.diagnosis.rules import RULES


async def calls_response(request: web.Request, archive: Archive, now_us: int) -> web.Response:
    """Those that match, newest first.

    :raises BadParameterError: a parameter is none, or not what is wanted.
    """
    asked = CALLS.read(request)
    before_us = asked.pop("before") or None
    severity, by, key = asked.pop("severity"), asked.pop("by"), asked.pop("key")
    if (by == ANY) != (key is None):
        raise BadParameterError("by, key: wanted together")
    group = None if key is None else (by, key)
    codes = None if severity == ANY else [rule.code for rule in RULES if rule.severity == severity]
    calls = await archive.calls(**asked, before_us=before_us, codes=codes, group=group)
    before = calls[-1].started_us if len(calls) == asked["limit"] else None
    return json_response(CallsAnswer(calls=calls, before=before, now_us=now_us))
