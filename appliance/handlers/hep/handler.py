"""The event handler that ships calls to Homer: the mapper's messages, over UDP, TCP or TLS, and its timers."""

import logging
import os
import ssl
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any, ClassVar, Literal

from msgspec import Struct

from appliance.core.clock import Timer
from appliance.core.correlation import safe_server_name
from appliance.core.events import Counter, Event, EventType, parse_mask
from appliance.core.handler import HandlerContext
from appliance.handlers.hep.journal import Journal
from appliance.handlers.hep.mapping import HepMapper, MapperConfig, Outgoing
from appliance.handlers.hep.masking import Masker, parse_words
from appliance.hep.client import TcpClient, UdpClient, make_client
from appliance.hep.endpoint import parse_endpoint
from appliance.hep.layout import MAX_PACKET
from appliance.hep.message import HepEncodeError
from appliance.hep.template import HepTemplate
from appliance.net.spool import Spool

logger = logging.getLogger(__name__)

NEEDED = EventType.SESSION | EventType.HANDLE | EventType.EXTERNAL | EventType.WEBRTC | EventType.TRANSPORT
"""What the mapping learns addresses, ends and verdicts from, whether it is to be sent or not."""
MIN_DATAGRAM = 1200
"""Less may have no room for the chunks and the head of a message in the shape of SIP."""

MAX_VERDICT_WAIT = 60
"""Seconds."""


class HepConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[handlers.hep]``."""

    enabled: bool = True
    events: str = "all"
    """Which events are sent."""
    server: str = "udp://127.0.0.1:9060"
    """Capture server: ``udp://``, ``tcp://`` or ``tls://host:port``."""
    also: list[str] = []
    """Further capture servers; see ``mode``."""
    mode: Literal["all", "failover"] = "all"
    """Each server gets everything, or the first that can be had (all over UDP, or none)."""
    udp_max_bytes: int = 65_507
    """The longest datagram. Networks that drop fragments want some 1400, capture servers of old 8192."""
    large_server: str = ""
    """``tcp://`` or ``tls://``: where a message goes that is longer than that; empty: its payload is cut."""
    spool: bool = True
    """Keep on disk (in ``data_dir``) what a TCP or TLS server can't be sent, and send it when it can."""
    spool_max_mb: float = 256
    """Of each server; beyond it the oldest goes."""
    spool_max_age_s: float = 86_400
    """What is older is not sent any more: Homer keeps no table for calls of days ago."""
    spool_drain_per_s: float = 5000
    """Messages a second from the spool, on top of as many as come in."""
    agent_id: int = 2001
    """Capture agent id (chunk 0x000c)."""
    node_name: str = ""
    """Capture agent name (chunk 0x0013); empty: the server's name."""
    auth_key_file: str = ""
    """File with the authentication key (chunk 0x000e). Homer keeps it in clear with every packet and checks nothing."""
    jsep: Literal["sip", "log"] = "sip"
    """Offers and answers in the shape of SIP, which Homer shows as a ladder, or as JSON."""
    ladder_states: bool = True
    """Show candidates that come later, and the states of ICE and DTLS, in the ladder too (SIP INFO)."""
    mask: str = ""
    """What capture servers must not see: ``addresses``, ``ice`` (credentials), ``names``, or ``all``."""
    mask_key_file: str = ""
    """File with the key of the masks, 16 to 64 bytes: then they are the same after a restart; empty: a new one each."""
    verdict_wait_s: float = 2.0
    """How long the BYE waits for the verdict that it tells."""
    unattached: bool = False
    """Also send what belongs to no session (transports, the server's start), under ``server@<server name>``."""
    api_address: str = "127.0.0.1"
    """The Janus API's address, for events that do not tell it."""
    max_calls: int = 5000
    """Calls remembered at once."""
    tls_ca_file: str = ""
    """Certificates that a TLS capture server's must be signed by; empty: the system's."""
    tls_cert_file: str = ""
    """Our own certificate, for TLS capture servers that ask for one."""
    tls_key_file: str = ""
    """Its private key; empty: it is in the same file."""
    tls_server_name: str = ""
    """Whom a TLS capture server's certificate must name; empty: the host of its URL."""
    tls_verify: bool = True
    """Whether a TLS capture server's certificate is checked (heplify-server before 1.60.6 signs its own)."""


def _groups(config: HepConfig) -> list[list[str]]:
    """The servers of each client. :raises ValueError: a URL, or what goes with it, is wrong."""
    urls = [str(parse_endpoint(url)) for url in (config.server, *config.also)]
    if config.large_server and parse_endpoint(config.large_server).transport == "udp":
        raise ValueError(f"large_server: {config.large_server!r}: wanted tcp://host:port or tls://host:port")
    if not MIN_DATAGRAM <= config.udp_max_bytes <= MAX_PACKET:
        raise ValueError(f"udp_max_bytes: {config.udp_max_bytes}: wanted {MIN_DATAGRAM} to {MAX_PACKET}")
    for name in ("spool_max_mb", "spool_max_age_s", "spool_drain_per_s"):
        if not getattr(config, name) > 0:
            raise ValueError(f"{name}: {getattr(config, name)}: wanted more than 0")
    groups = [urls] if config.mode == "failover" else [[url] for url in urls]
    for group in groups:
        make_client(group)
    return groups


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
        self._groups = _groups(config)
        self._data_dir = context.data_dir
        self._clients: list[UdpClient | TcpClient] = []
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

    def _make_clients(self) -> list[UdpClient | TcpClient]:
        config = self._config
        urls = [url for group in self._groups for url in group] + [config.large_server]
        tls = self._tls() if any(url.startswith("tls:") for url in urls) else None

        def made(group: list[str], name: str, larger: TcpClient | None = None) -> UdpClient | TcpClient:
            return make_client(
                group,
                tls=tls,
                server_name=config.tls_server_name,
                spool=self._spool(name) if config.spool and not group[0].startswith("udp:") else None,
                drain_per_s=config.spool_drain_per_s,
                udp_max_bytes=config.udp_max_bytes,
                larger=larger,
            )

        larger: TcpClient | None = None
        if config.large_server:
            client = made([config.large_server], "hep-large")
            assert isinstance(client, TcpClient)
            larger = client
        clients = []
        for number, group in enumerate(self._groups, 1):
            clients.append(made(group, f"hep-{number}", larger))
            if group[0].startswith("udp:"):
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

    def _tls(self) -> ssl.SSLContext:
        """:raises OSError, ValueError: a file can't be read, or holds no certificate or key."""
        config = self._config
        context = ssl.create_default_context(cafile=config.tls_ca_file or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if config.tls_cert_file:
            context.load_cert_chain(config.tls_cert_file, config.tls_key_file or None)
        if not config.tls_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

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
