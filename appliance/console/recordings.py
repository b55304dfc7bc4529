"""``/api/recordings`` and a call's ``/record`` and ``/bundle``: what is recorded, and the bundles."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from aiohttp import web

from appliance.console import parameters
from appliance.console.answer import error_response, json_response
from appliance.console.parameters import small_body
from appliance.core.archive import Archive
from appliance.core.recordings import Recordings

MAX_BODY = 4096

Route = Callable[[web.Request], Awaitable[web.StreamResponse]]


class RecordingRoutes:
    """``recordings`` is ``None`` where nothing records calls: every answer then says so."""

    def __init__(self, recordings: Recordings | None, archive: Archive | None) -> None:
        self._recordings = recordings
        self._archive = archive

    def data(self) -> tuple[tuple[str, Route], ...]:
        """What is read."""
        return (
            ("/api/recordings", self._list),
            ("/api/recordings/{name}", self._file),
            ("/api/calls/{correlation_id}/bundle", self._bundle),
        )

    def changes(self) -> tuple[tuple[str, str, Route], ...]:
        """What is changed: method, path, handler."""
        return (
            ("POST", "/api/recordings", self._start),
            ("DELETE", "/api/recordings", self._stop),
            ("POST", "/api/calls/{correlation_id}/record", self._start_call),
            ("DELETE", "/api/calls/{correlation_id}/record", self._stop_call),
        )

    async def _list(self, _request: web.Request) -> web.Response:
        recordings = self._recordings
        if recordings is None:
            return _nothing()
        bundles = await asyncio.to_thread(recordings.bundles)
        return json_response({"rules": recordings.rules, "recording": recordings.recording, "bundles": bundles})

    async def _start(self, request: web.Request) -> web.Response:
        rule = await _rule(request)
        return _bad_rule() if rule is None else self._begin(rule)

    async def _stop(self, request: web.Request) -> web.Response:
        rule = await _rule(request)
        return _bad_rule() if rule is None else self._end(rule)

    async def _start_call(self, request: web.Request) -> web.Response:
        return self._begin(f"call {parameters.correlation_id(request)}")

    async def _stop_call(self, request: web.Request) -> web.Response:
        return self._end(f"call {parameters.correlation_id(request)}")

    def _begin(self, rule: str) -> web.Response:
        if self._recordings is None:
            return _nothing()
        try:
            self._recordings.start_rule(rule)
        except ValueError as problem:
            return error_response(400, "bad_rule", str(problem))
        return json_response({"rules": self._recordings.rules, "recording": self._recordings.recording})

    def _end(self, rule: str) -> web.Response:
        if self._recordings is None:
            return _nothing()
        if not self._recordings.stop_rule(rule):
            return error_response(404, "unknown_rule", f"no rule {rule[:200]!r} is in force")
        return json_response({"rules": self._recordings.rules, "recording": self._recordings.recording})

    async def _file(self, request: web.Request) -> web.StreamResponse:
        if self._recordings is None:
            return _nothing()
        name = request.match_info["name"]
        path = await asyncio.to_thread(self._recordings.path, name)
        return error_response(404, "unknown_bundle", "there is no such bundle") if path is None else _download(path)

    async def _bundle(self, request: web.Request) -> web.StreamResponse:
        if self._recordings is None:
            return _nothing()
        correlation_id = parameters.correlation_id(request)
        path = await self._recordings.bundle(correlation_id)
        if path is None and self._archive is not None:
            kept = await self._archive.events(correlation_id)
            path = await self._recordings.bundle(correlation_id, kept)
        if path is None:
            return error_response(404, "no_bundle", "nothing is kept of this call, or the disk is full")
        return _download(path)


async def _rule(request: web.Request) -> str | None:
    """``{"rule": "next failed"}``."""
    body = await small_body(request, MAX_BODY)
    try:
        said = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    rule = said.get("rule") if isinstance(said, dict) and len(body) <= MAX_BODY else None
    return rule if isinstance(rule, str) else None


def _bad_rule() -> web.Response:
    return error_response(400, "bad_rule", 'wanted {"rule": "next failed"}, or another rule')


def _nothing() -> web.Response:
    return error_response(503, "no_recordings", "nothing records calls; handlers.recording.enabled would")


def _download(path: Path) -> web.StreamResponse:
    return web.FileResponse(
        path,
        headers={
            "Content-Type": "application/zip",
            "Content-Disposition": f'attachment; filename="{path.name}"',
            "Cache-Control": "no-store",
        },
    )
