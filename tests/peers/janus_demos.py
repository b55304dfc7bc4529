"""The demo pages of Janus itself (Debian's ``janus-demos``), with its own janus.js, pointed at a gateway of ours."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from tests.peers.site import served
from tests.programs import need_file

SETTINGS = """
const asked = new URLSearchParams(location.search);
function getQueryStringValue(name) { return asked.get(name) || ""; }
var server = %s, iceServers = [], token = null, apisecret = null;
"""
"""Stands for ``settings.js``, which the operator of the pages writes."""
ADMIN_SETTINGS = "var server = %s, secret = %s;"


@asynccontextmanager
async def janus_demos(janus: str, *, admin: str = "", secret: str = "") -> AsyncIterator[str]:
    """Their URL; ``janus`` and ``admin`` are those of the gateway's APIs over HTTP."""
    folder = need_file("/usr/share/janus/demos/echotest.html").parent
    written = {
        "settings.js": SETTINGS % json.dumps(janus),
        "adminconfig.js": ADMIN_SETTINGS % (json.dumps(admin), json.dumps(secret)),
    }

    async def page(request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name in written:
            return web.Response(text=written[name], content_type="text/javascript")
        path = (folder / name).resolve()
        return web.FileResponse(path) if path.is_file() else web.Response(status=404)

    application = web.Application()
    application.router.add_get("/{name:.+}", page)
    async with served(application) as url:
        yield url
