"""``/api/fleet``: ended calls by what they have in common, and which groups fail more often than the others."""

from aiohttp import web

from appliance.console.answer import json_response
from appliance.console.operations import FLEET, FleetAnswer
from appliance.core.archive import Archive
from appliance.diagnosis.fleet import outliers

DAY_US = 86_400_000_000


async def fleet_response(request: web.Request, archive: Archive, now_us: int) -> web.Response:
    """``by`` a dimension, ``since`` and ``until`` in microseconds (the last day by default), ``server``, ``code``.

    :raises BadParameterError: one of them is none.
    """
    asked = FLEET.read(request)
    by = asked["by"]
    until_us = now_us + 1 if asked["until"] is None else asked["until"]
    since_us = max(0, until_us - DAY_US) if asked["since"] is None else asked["since"]
    groups = await archive.groups(by, since_us=since_us, until_us=until_us, server=asked["server"], code=asked["code"])
    found = outliers(by, groups)
    return json_response(FleetAnswer(by=by, since_us=since_us, until_us=until_us, groups=groups, outliers=found))
