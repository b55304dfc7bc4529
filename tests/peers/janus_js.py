"""The test pages with the unmodified janus.js, served to a browser."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from tests.peers.npm import installed
from tests.peers.site import served

PAGES = Path(__file__).parent / "web"


@asynccontextmanager
async def janus_js_site(tmp_path: Path) -> AsyncIterator[str]:
    """Its URL."""
    modules = installed("janus-gateway@1.4.2", "webrtc-adapter@9.0.6")
    site = tmp_path / "site"
    shutil.copytree(PAGES, site)
    shutil.copy(modules / "janus-gateway/npm/dist/janus.es.js", site)
    shutil.copy(modules / "webrtc-adapter/out/adapter.js", site)
    application = web.Application()
    application.router.add_static("/", site)
    async with served(application) as url:
        yield url
