"""``/api/fleet``: ended calls by what they have in common, and which groups fail more often than the others."""

from aiohttp import web

from appliance.console import parameters
from appliance.console.answer import json_response
from appliance.core.archive import DIMENSIONS, Archive
from appliance.diagnosis.fleet import outliers

DAY_US = 86_400_000_000
_LAST_US = 2**63 - 1


async def fleet_response(request: web.Request, archive: Archive, now_us: int) -> web.Response:
    """``by`` a dimension, ``since`` and ``until`` in microseconds (the last day by default), ``server``, ``code``.

    :raises BadParameterError: one of them is none.
    """
    by = parameters.choice(request, "by", DIMENSIONS)
    until_us = parameters.integer(request, "until", now_us + 1, 0, _LAST_US)
    since_us = parameters.integer(request, "since", max(0, until_us - DAY_US), 0, _LAST_US)
    groups = await archive.groups(
        by,
        since_us=since_us,
        until_us=until_us,
        server=parameters.text(request, "server") or None,
        code=parameters.text(request, "code") or None,
    )
    return json_response(
        {"by": by, "since_us": since_us, "until_us": until_us, "groups": groups, "outliers": outliers(by, groups)}
    )
