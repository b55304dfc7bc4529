"""The event handler that ships calls to Homer: the mapper's messages, over UDP, TCP or TLS, and its timers."""

import logging
import os
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any, ClassVar

from msgspec import Struct

from appliance.core.clock import Timer
from appliance.core.correlation import safe_server_name
from appliance.core.events import Counter, Event, EventType, parse_mask
from appliance.core.handler import HandlerContext
from appliance.handlers.hep.config import HepConfig
from appliance.handlers.hep.journal import Journal
from appliance.handlers.hep.mapping import HepMapper
from appliance.handlers.hep.masking import Masker, parse_words
from appliance.handlers.hep.outgoing import MapperConfig, Outgoing
from appliance.hep.client import HepClient, TcpClient, make_client
from appliance.hep.endpoint import Endpoint
from appliance.hep.message import HepEncodeError
from appliance.hep.template import HepTemplate
from appliance.net.spool import Spool

logger = logging.getLogger(__name__)

NEEDED = EventType.SESSION | EventType.HANDLE | EventType.EXTERNAL | EventType.WEBRTC | EventType.TRANSPORT
"""What the mapping learns addresses, ends and verdicts from, whether it is to be sent or not."""

MAX_VERDICT_WAIT = 60
"""Seconds."""


class HepHandler:
    """Contract: :class:`appliance.core.handler.EventHandler`."""

    Config: ClassVar[type[Struct]] = HepConfig
    name = "hep"

    def __init__(self, config: HepConfig, context: HandlerContext) -> None:
        """:raises ValueError: a server's URL, a name or number, the address or a word of ``events`` is wrong."""
        self._config = config
        self._clock = context.clock
        self._wanted = parse_mask(config.events)
        self.mask = self._wanted | NEEDED
        self._node_name = config.node_name or safe_server_name(context.server_name)
        self._api_address = ip_address(config.api_address)
        self._mask_words = parse_words(config.mask)
        self._mask_key = os.urandom(32)
        self._groups = config.groups()
        self._data_dir = context.data_dir
        self._clients: list[HepClient] = []
        self._mapper = self._make_mapper(None)
        self._timer: Timer | None = None
        self._unfit = 0
        self.journal = Journal()
        context.measured.append(self)

    def _make_mapper(self, auth_key: str | None) -> HepMapper:
        """:raises HepEncodeError: no packet carries the node's name, the agent's number or the key."""
        config = self._config
        HepTemplate(
            src=self._api_address,
            dst=self._api_address,
            src_port=0,
            dst_port=0,
            agent_id=config.agent_id,
            node_name=self._node_name,
            auth_key=auth_key,
        )
        return HepMapper(
            MapperConfig(
                agent_id=config.agent_id,
                node_name=self._node_name,
                auth_key=auth_key,
                jsep_as_sip=config.jsep == "sip",
                wanted=self._wanted,
                unattached=config.unattached,
                api_address=self._api_address,
                verdict_wait_s=config.verdict_wait_s,
                max_calls=config.max_calls,
                ladder_states=config.ladder_states,
                masker=Masker(self._mask_words, self._mask_key) if self._mask_words else None,
            )
        )

    def tweak(self, changes: dict[str, Any]) -> None:
        """Change ``events``, ``unattached`` or ``verdict_wait_s``. :raises ValueError: nothing has changed."""
        kinds: dict[str, type | tuple[type, ...]] = {"events": str, "unattached": bool, "verdict_wait_s": (int, float)}
        for name, value in changes.items():
            if name not in kinds:
                raise ValueError(f"{name[:100]}: can't be changed while the handler runs; {', '.join(kinds)} can")
            too_long = isinstance(value, int | float) and not 0 <= value <= MAX_VERDICT_WAIT
            if too_long or not isinstance(value, kinds[name]):
                raise ValueError(f"{name}: {str(value)[:100]!r} came")
        settings = dict(changes)
        if "events" in settings:
            self._wanted = settings["wanted"] = parse_mask(settings.pop("events"))
            self.mask = self._wanted | NEEDED
        self._mapper.change(**settings)

    async def start(self) -> None:
        """Begin to reach the capture servers; none needs to be there.

        :raises OSError, ValueError: a file can't be read, or the key in it holds what receivers choke on.
        """
        if self._config.mask_key_file:
            self._mask_key = Path(self._config.mask_key_file).read_bytes().strip()  # noqa: ASYNC240  # a line, at start
        key = None
        if self._config.auth_key_file:
            key = Path(self._config.auth_key_file).read_text("utf-8").strip()  # noqa: ASYNC240  # a line, at start
        self._mapper = self._make_mapper(key or None)
        self._clients = self._make_clients()
        for client in self._clients:
            await client.start()

    def _make_clients(self) -> list[HepClient]:
        config = self._config
        endpoints = config.endpoints()
        secure = any(endpoint.transport == "tls" for endpoint in endpoints.values())
        tls = config.tls_context() if secure else None

        def made(group: list[Endpoint], name: str, larger: TcpClient | None = None) -> HepClient:
            over_tcp = any(endpoint.transport != "udp" for endpoint in group)
            return make_client(
                group,
                tls=tls,
                server_name=config.tls_server_name,
                spool=self._spool(name) if config.spool and over_tcp else None,
                drain_per_s=config.spool_drain_per_s,
                udp_max_bytes=config.udp_max_bytes,
                larger=larger,
            )

        larger: TcpClient | None = None
        if config.large_server:
            client = made([endpoints["large_server"]], "hep-large")
            assert isinstance(client, TcpClient)
            larger = client
        clients = []
        for number, group in enumerate(self._groups, 1):
            clients.append(made(group, f"hep-{number}", larger))
            if any(endpoint.transport == "udp" for endpoint in group):
                # Of two servers over UDP, one sends on what is too long for both.
                larger = None
        return clients

    def _spool(self, name: str) -> Spool:
        config = self._config
        return Spool(
            self._data_dir / "spool" / name,
            max_bytes=int(config.spool_max_mb * 2**20),
            max_age_s=config.spool_max_age_s,
            wall=lambda: self._clock.wall_us() / 1e6,
        )

    @property
    def oldest_held(self) -> int | None:
        """Contract: :class:`appliance.core.bus.Durable`; what ``handle`` took is on its way, or in the spool."""
        return None

    def hurry(self) -> None:
        """Nothing waits here."""

    async def handle(self, batch: Sequence[Event]) -> None:
        """Map and send; nothing here waits."""
        now = self._clock.monotonic()
        for item in batch:
            self._send(self._mapper.take(item, now))
        self._arm(now)

    def _arm(self, now: float) -> None:
        due = self._mapper.next_due()
        if due is not None and self._timer is None:
            self._timer = self._clock.call_later(max(0.0, due - now), self._on_due)

    def _on_due(self) -> None:
        self._timer = None
        now = self._clock.monotonic()
        self._send(self._mapper.due(now))
        self._arm(now)

    def _send(self, messages: Iterable[Outgoing]) -> None:
        for message in messages:
            try:
                packet = message.render()
            except HepEncodeError:
                self._unfit += 1
                continue
            taken = False
            for client in self._clients:
                taken |= client.send(packet, message.payload_type, expendable=message.expendable)
            if taken:
                self.journal.note(
                    message.correlation_id,
                    message.template,
                    message.timestamp_us,
                    message.payload_type,
                    message.payload,
                    len(packet),
                    statistics=message.expendable,
                )

    async def stop(self) -> None:
        """Send what was held for a verdict, then close."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._send(self._mapper.flush())
        for client in self._clients:
            await client.stop()

    def measure(self) -> Iterable[Counter]:
        """Of all capture servers together, and of the mapping."""
        sums: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        for client in self._clients:
            for count in client.counts():
                key = count.name, tuple(sorted(count.labels.items()))
                sums[key] = sums.get(key, 0) + count.value
        for (name, labels), value in sums.items():
            yield Counter(name, value, dict(labels))
        for reason, number in {**self._mapper.skipped, "unfit": self._unfit}.items():
            yield Counter("hep_events_skipped_total", number, {"reason": reason})
        yield Counter("hep_payloads_cut_total", self._mapper.cut)
        yield Counter("hep_calls", len(self._mapper))
        yield Counter("hep_calls_forgotten_total", self._mapper.forgotten)
        yield Counter("hep_sessions_forgotten_total", self._mapper.forgotten_sessions)
        yield Counter("hep_journal_forgotten_total", self.journal.forgotten)
