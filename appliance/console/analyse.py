"""``POST /api/analyse``: a recorded file (capture or events) that is dropped on the page, explained.

The work is that of ``appliance replay --json``, in a process of its own: whatever the file is, the collector goes on.
"""

import asyncio
import contextlib
import re
import sys
import tempfile
from pathlib import Path

import msgspec
from aiohttp import web

from appliance.console.answer import error_response, json_response

MAX_FILE = 256 * 2**20
MAX_ANSWER = 64 * 2**20
MAX_AT_ONCE = 2
READ_TIMEOUT = 120.0
"""Seconds for the upload."""
WORK_TIMEOUT = 120.0


class Analysis:
    """Takes files one by one; a third at the same time is told to come back later."""

    def __init__(self, *, max_file: int = MAX_FILE, work_timeout: float = WORK_TIMEOUT) -> None:
        self._max_file = max_file
        self._work_timeout = work_timeout
        self._running = 0

    async def post(self, request: web.Request) -> web.Response:
        """The body is the file, ``?name=`` its name. Answers ``{"calls": [explanation, ...], "notes": []}``."""
        if self._running >= MAX_AT_ONCE:
            return error_response(503, "busy", f"{MAX_AT_ONCE} files are being analysed already; try again shortly")
        self._running += 1
        try:
            with tempfile.TemporaryDirectory(prefix="analyse-") as folder:
                name = re.sub(r"[^A-Za-z0-9._-]", "-", request.query.get("name", ""))[-80:].lstrip(".-") or "file"
                path = Path(folder) / name
                refusal = await self._take(request, path)
                return refusal if refusal is not None else await self._explain(path)
        finally:
            self._running -= 1

    async def _take(self, request: web.Request, path: Path) -> web.Response | None:
        size = 0
        try:
            async with asyncio.timeout(READ_TIMEOUT):
                with path.open("wb") as file:
                    async for piece in request.content.iter_any():
                        size += len(piece)
                        if size > self._max_file:
                            break
                        file.write(piece)
        except TimeoutError:
            return _last(error_response(408, "too_slow", f"the file took longer than {READ_TIMEOUT:.0f} s to arrive"))
        if size > self._max_file:
            return _last(error_response(413, "too_large", f"the file is larger than {self._max_file >> 20} MiB"))
        return None

    async def _explain(self, path: Path) -> web.Response:
        worker = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "appliance", "replay", "--json", str(path),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert worker.stdout is not None
        assert worker.stderr is not None
        try:
            async with asyncio.timeout(self._work_timeout):
                told, noted = await asyncio.gather(_bounded(worker.stdout), _bounded(worker.stderr))
                await worker.wait()
        except TimeoutError:
            return error_response(422, "too_much", f"it could not be read within {self._work_timeout:.0f} s")
        except _TooMuchError:
            return error_response(422, "too_much", "it holds too many calls for one page; use appliance replay")
        finally:
            if worker.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    worker.kill()
                await worker.wait()
        notes = noted.decode("utf-8", "replace").replace(str(path), path.name).splitlines()
        calls = [msgspec.Raw(line) for line in told.splitlines() if line]
        if not calls:
            return error_response(422, "unreadable", notes[-1] if notes else "no call in it")
        return json_response({"calls": calls, "notes": notes})


class _TooMuchError(Exception):
    pass


async def _bounded(stream: asyncio.StreamReader) -> bytes:
    parts: list[bytes] = []
    size = 0
    while piece := await stream.read(2**16):
        size += len(piece)
        if size > MAX_ANSWER:
            raise _TooMuchError
        parts.append(piece)
    return b"".join(parts)


def _last(response: web.Response) -> web.Response:
    """The body has not been read to its end: what follows on the connection is no request."""
    response.force_close()
    return response
