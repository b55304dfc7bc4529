"""Tells another service what became of a call: one POST a final verdict, with a link to the call in the console.

The body is a JSON object: ``server``, ``correlation_id``, ``session_id``, ``handle_id``, ``opaque_id``, ``link``, and
``verdict`` as :class:`appliance.diagnosis.verdict.Verdict` has it. With a secret each request is signed::

    X-Appliance-Signature: t=<Unix time>,v1=<hex of HMAC-SHA256(secret, "<Unix time>." + body)>

The time lets a receiver refuse what somebody sends again later. ``X-Appliance-Delivery`` stays the same when a request
is repeated, so that a verdict that arrives twice is taken once.
"""

import hmac
from collections.abc import Sequence
from typing import Any, ClassVar
from urllib.parse import quote

import msgspec
from msgspec import Struct

from appliance.core.auth import secret_of
from appliance.core.events import VERDICT_SCHEMA, Event, External
from appliance.core.handler import HandlerContext
from appliance.handlers.output.base import OutputConfig, OutputHandler, RemoteConfig, part
from appliance.handlers.output.packing import MAX_EVENT_BYTES, Message
from appliance.handlers.output.poster import Poster, check_url
from appliance.net.tls import ClientTls

SEVERITIES = ("good", "notice", "fault")


class WebhookConfig(RemoteConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[handlers.webhook]``: one POST for each verdict on a call that is over."""

    events: str = "external"
    """Verdicts are external events; nothing else is sent."""
    url: str = ""
    """Where they are posted: ``http://`` or ``https://``."""
    secret_file: str = ""
    """A file with the secret that signs each request (``X-Appliance-Signature``); empty: none is signed."""
    console_url: str = "http://127.0.0.1:8080"
    """By what address the receiver's people reach the console; ``link`` leads there."""
    severities: tuple[str, ...] = ("notice", "fault")
    """Which verdicts are sent: good, notice, fault."""
    codes: tuple[str, ...] = ()
    """Only these; empty: all."""
    max_retransmissions: int = 8
    """Attempts after the first; then the verdict is dropped and counted. 0: until it is taken."""
    retransmissions_backoff: int = 1000
    """Milliseconds before the second attempt, doubled before each further one, at most 30 s."""


class WebhookOutput(OutputHandler):
    """Contract: :class:`appliance.core.handler.EventHandler`."""

    Config: ClassVar[type[Struct]] = WebhookConfig
    name = "webhook"
    tweakable = frozenset({"url", "severities", "codes", "console_url"})

    def __init__(self, config: WebhookConfig, context: HandlerContext) -> None:
        """:raises ValueError: a setting is no good."""
        super().__init__(config, context)
        self._poster = Poster()
        self._secret = secret_of("secret", "", config.secret_file).encode()

    @property
    def config(self) -> WebhookConfig:
        """The settings in force."""
        assert isinstance(self._settings, WebhookConfig)
        return self._settings

    def _check(self, config: OutputConfig) -> None:
        super()._check(config)
        assert isinstance(config, WebhookConfig)
        check_url("url", config.url, instead="the signature says who we are")
        check_url("console_url", config.console_url, instead="the console asks by itself")
        for severity in config.severities:
            if severity not in SEVERITIES:
                raise ValueError(f"severities: {severity!r} came, wanted {', '.join(SEVERITIES)}")

    async def _open(self) -> None:
        await self._poster.open(part(self.config, ClientTls))

    async def _close(self) -> None:
        await self._poster.close()

    def _encoded(self, batch: Sequence[Event]) -> list[tuple[int, bytes]]:
        items: list[tuple[int, bytes]] = []
        for item in batch:
            if not self._is_wanted(item):
                continue
            data = msgspec.json.encode(notice(item, self.config.console_url))
            if len(data) > MAX_EVENT_BYTES:
                self._drop("oversize")
            else:
                items.append((item.type, data))
        return items

    def _is_wanted(self, item: Event) -> bool:
        body, config = item.event, self.config
        return (
            isinstance(body, External)
            and body.schema == VERDICT_SCHEMA
            and body.data.get("final") is True
            and not item.replayed
            and body.data.get("severity") in config.severities
            and (not config.codes or body.data.get("code") in config.codes)
        )

    async def send(self, message: Message) -> None:
        """POST it. :raises OSError: no answer, or none that begins with 2."""
        body = message.data
        headers = {"Content-Type": "application/json", "X-Appliance-Delivery": _Numbered.of(body)}
        if self._secret:
            headers["X-Appliance-Signature"] = signature(self._secret, body, self._clock.wall_us() // 1_000_000)
        await self._poster.post(self.config.url, body, headers)


class _Numbered(Struct):
    """What says which delivery it is; read from the body, because that is all that a spool keeps."""

    id: int

    @classmethod
    def of(cls, body: bytes) -> str:
        return str(msgspec.json.decode(body, type=cls).id)


def notice(item: Event, console_url: str) -> dict[str, Any]:
    """The body for one verdict."""
    assert isinstance(item.event, External)
    name = item.correlation_id or ""
    return {
        "type": "verdict",
        "id": item.id,
        "timestamp_us": item.timestamp,
        "server": item.emitter,
        "correlation_id": name,
        "session_id": item.session_id,
        "handle_id": item.handle_id,
        "opaque_id": item.opaque_id,
        "link": f"{console_url.rstrip('/')}/call/{quote(name, safe='')}",
        "verdict": item.event.data,
    }


def signature(secret: bytes, body: bytes, now_s: int) -> str:
    """``X-Appliance-Signature`` of a request that is sent at ``now_s`` (Unix time)."""
    return f"t={now_s},v1={hmac.digest(secret, b'%d.%b' % (now_s, body), 'sha256').hex()}"
