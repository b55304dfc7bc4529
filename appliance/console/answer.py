"""Answers as JSON, errors among them: ``{"error": {"code": ..., "message": ...}}``."""

from collections.abc import Iterable
from typing import Any

import msgspec
from aiohttp import web

COMPRESS_FROM_BYTES = 16_384


def json_response(value: Any, status: int = 200) -> web.Response:
    """Any value that msgspec encodes."""
    return raw_response(msgspec.json.encode(value), status)


def raw_response(body: bytes, status: int = 200) -> web.Response:
    """JSON that is encoded already."""
    response = web.Response(
        body=body,
        status=status,
        headers={"Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store"},
    )
    if len(body) >= COMPRESS_FROM_BYTES:
        response.enable_compression()
    return response


def lines_response(lines: Iterable[bytes], name: str) -> web.Response:
    """JSON values, one a line, to be kept as ``<name>.jsonl``."""
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "-.") else "_" for c in name)
    response = web.Response(
        body=b"".join(line + b"\n" for line in lines),
        headers={
            "Content-Type": "application/x-ndjson; charset=utf-8",
            "Content-Disposition": f'attachment; filename="{safe}.jsonl"',
            "Cache-Control": "no-store",
        },
    )
    response.enable_compression()
    return response


def error_response(status: int, code: str, message: str) -> web.Response:
    """``code`` is for programs, ``message`` for people."""
    return json_response({"error": {"code": code, "message": message}}, status)
