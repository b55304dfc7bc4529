"""Shows the events as metrics: ``/metrics`` (bounded) and ``/metrics/handles`` (each handle) on the collector's web.

Text 0.0.4 or OpenMetrics by the Accept header, gzip where it is accepted.
"""

import asyncio
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, Literal

from aiohttp import web
from msgspec import Struct

from appliance.core.events import Event, EventType, parse_mask
from appliance.core.handler import HandlerContext
from appliance.core.selection import SelectConfig
from appliance.metrics.exporter import Exporter
from appliance.metrics.handles import MAX_HANDLES
from appliance.metrics.text import OPENMETRICS_TYPE, TEXT_TYPE, wants_openmetrics

GZIP = 16 + zlib.MAX_WBITS
"""zlib's way to say gzip."""


class PrometheusConfig(SelectConfig, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Section ``[handlers.prometheus]``."""

    enabled: bool = True
    events: str = "all"
    """What is not subscribed to is not counted."""
    max_handles: int = MAX_HANDLES
    """Handles on ``/metrics/handles``; each has up to about 30 series. 0 shows none."""
    opaque_id: Literal["hash", "clear", "off"] = "hash"
    """Whether ``appliance_handle_info`` names the opaque id, which may say who somebody is."""

    def __post_init__(self) -> None:
        if self.max_handles < 0:
            raise ValueError(f"max_handles: {self.max_handles} came, wanted 0 or more")


class PrometheusHandler:
    """Counts events as they come; implements :class:`appliance.core.handler.EventHandler`."""

    Config: ClassVar[type[Struct]] = PrometheusConfig
    name = "prometheus"

    def __init__(self, config: PrometheusConfig, context: HandlerContext) -> None:
        from appliance.diagnosis.verdict import CODES

        self.mask: EventType = parse_mask(config.events)
        self.exporter = Exporter(
            context.clock,
            server_name=context.server_name,
            codes=CODES,
            measured=context.measured,
            max_handles=config.max_handles,
            opaque_id=config.opaque_id,
        )

    async def start(self) -> None:
        """Nothing to open: the collector's web server asks."""

    async def handle(self, batch: Sequence[Event]) -> None:
        """Count."""
        for item in batch:
            self.exporter.take(item)

    async def stop(self) -> None:
        """Nothing to close."""

    def routes(self) -> Iterable[web.RouteDef]:
        """For the collector's web server."""
        return (web.get("/metrics", self._metrics), web.get("/metrics/handles", self._handles))

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        openmetrics = wants_openmetrics(request.headers.get("Accept", ""))
        # At once: what is read together belongs together.
        text = "".join(self.exporter.metrics(openmetrics))
        return await _respond(request, iter((text,)), openmetrics)

    async def _handles(self, request: web.Request) -> web.StreamResponse:
        openmetrics = wants_openmetrics(request.headers.get("Accept", ""))
        return await _respond(request, self.exporter.handle_pieces(openmetrics), openmetrics)


async def _respond(request: web.Request, pieces: Iterator[str], openmetrics: bool) -> web.StreamResponse:
    """Send the pieces, and let others run between them."""
    response = web.StreamResponse()
    response.headers["Content-Type"] = OPENMETRICS_TYPE if openmetrics else TEXT_TYPE
    response.headers["Cache-Control"] = "no-store"
    response.headers["Vary"] = "Accept, Accept-Encoding"
    squeeze = None
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        response.headers["Content-Encoding"] = "gzip"
        squeeze = zlib.compressobj(1, wbits=GZIP)
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    for piece in pieces:
        data = piece.encode()
        if squeeze is not None:
            data = squeeze.compress(data)
        if data:
            await response.write(data)
        await asyncio.sleep(0)
    if squeeze is not None:
        await response.write(squeeze.flush())
    await response.write_eof()
    return response
