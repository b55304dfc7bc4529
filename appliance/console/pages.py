"""The files of the console, read once: a request is answered from this table, so no path leads anywhere else."""

import gzip
from hashlib import sha256
from pathlib import Path, PurePosixPath

from aiohttp import web
from msgspec import Struct

STATIC = Path(__file__).parent / "static"

CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    "": "text/plain; charset=utf-8",
}

COMPRESS_FROM_BYTES = 2048


class Page(Struct, frozen=True):
    """One file, with its gzip where that is worth it."""

    content_type: str
    body: bytes
    compressed: bytes | None
    etag: str


def load_pages(folder: Path = STATIC) -> dict[str, Page]:
    """Every file below ``folder`` by its path there, with forward slashes."""
    pages: dict[str, Page] = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.suffix not in CONTENT_TYPES:
            continue
        body = path.read_bytes()
        worth_it = len(body) >= COMPRESS_FROM_BYTES
        pages[str(PurePosixPath(path.relative_to(folder)))] = Page(
            content_type=CONTENT_TYPES[path.suffix],
            body=body,
            compressed=gzip.compress(body, 6, mtime=0) if worth_it else None,
            etag=f'"{sha256(body).hexdigest()[:20]}"',
        )
    return pages


def page_response(page: Page, request: web.Request) -> web.Response:
    """The file, or 304 where the browser has it. Asked again each time, so that an upgrade shows at once."""
    headers = {"Cache-Control": "no-cache", "ETag": page.etag, "Vary": "Accept-Encoding"}
    if page.etag in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    headers["Content-Type"] = page.content_type
    if page.compressed is not None and "gzip" in request.headers.get("Accept-Encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return web.Response(body=page.compressed, headers=headers)
    return web.Response(body=page.body, headers=headers)
