"""``appliance check``, the way of events: why none come from a Janus, as the collector and the Janus tell."""

import re
import time
from collections.abc import Iterator
from typing import Any

import aiohttp
from msgspec import Struct

OLD_S = 300.0
"""A server that has said nothing for longer is worth a word."""
MAX_ANSWER = 16 * 2**20
CALL_TYPES = ("sessions", "handles", "jsep", "webrtc", "media")
"""Without these no call can be explained."""
REFUSED = {
    "malformed": "were no events: is it a Janus event handler that sends there?",
    "refused": "were refused: not POST, too large, or too many at once",
}
SOURCES = {
    "rabbitmq": "queue has to be rabbitmqevh's route_key where it has no exchange, else exchange and exchange_type "
    "the same as there",
    "mqtt": "topics have to cover mqttevh's topic, with /# behind it",
}
"""What is wrong where an intake is connected to its broker and hears nothing."""
NONE_YET = (
    "no Janus has sent events yet. In its janus.jcfg: events {{ broadcast = true }}; in "
    "janus.eventhandler.sampleevh.jcfg: enabled = true, events = \"all\", backend = \"{backend}\" (any path will do)"
)  # fmt: skip

_SAMPLE = re.compile(r'^appliance_(\w+)\{([^}]*)\} (\S+)$', re.MULTILINE)  # fmt: skip
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Finding(Struct, frozen=True):
    """One line of the check."""

    good: bool
    text: str


async def _text(http: aiohttp.ClientSession, url: str) -> str:
    """:raises aiohttp.ClientError, TimeoutError: no answer, or not 200. :raises ValueError: it is too long."""
    async with http.get(url) as reply:
        reply.raise_for_status()
        body = await reply.content.read(MAX_ANSWER + 1)
        while not reply.content.at_eof() and len(body) <= MAX_ANSWER:
            body += await reply.content.read(MAX_ANSWER)
    if len(body) > MAX_ANSWER:
        raise ValueError(f"more than {MAX_ANSWER} bytes")
    return body.decode("utf-8", "replace")


def read_metrics(text: str) -> list[tuple[str, dict[str, str], float]]:
    """Name without prefix, labels, value of each series that has labels."""
    return [(name, dict(_LABEL.findall(labels)), float(value)) for name, labels, value in _SAMPLE.findall(text)]


def judge_events(metrics: str, *, ours: str, backend: str, now: float) -> Iterator[Finding]:
    """What the collector's ``/metrics`` tells. ``ours``: the name of our own gateway; ``now``: seconds since 1970."""
    last: dict[str, float] = {}
    silent: dict[str, bool] = {}
    heard: set[str] = set()
    types: dict[str, set[str]] = {}
    refused: list[Finding] = []
    for name, labels, value in read_metrics(metrics):
        if name == "server_last_event_timestamp_seconds" and value:
            last[labels["server"]] = value
        elif name == "events_total" and value:
            types.setdefault(labels["server"], set()).add(labels["type"])
        elif name == "intake_events_total" and value:
            heard.add(labels["intake"])
            if (why := REFUSED.get(labels["outcome"])) is not None:
                refused.append(Finding(False, f"intake.{labels['intake']}: {value:.0f} requests or events {why}"))
        elif name == "intake_connected" and labels["intake"] in SOURCES:
            silent[labels["intake"]] = bool(value)
        elif name == "auth_failures_total" and value and labels["api"] == "intake":
            text = (
                f"intake: {value:.0f} times with a wrong user, password or token: see backend_user and backend_pwd, "
                "and of wsevh the path, if intake.websocket.secret_path is set"
            )
            refused.append(Finding(False, text))
    yield from refused
    for intake in sorted(silent.keys() - heard):
        if silent[intake]:
            yield Finding(False, f"intake.{intake}: its broker is there, but nothing came: {SOURCES[intake]}")
        else:
            yield Finding(False, f"intake.{intake}: not connected to its broker, see the collector's log")
    for server in sorted(last):
        age = max(0.0, now - last[server])
        yield Finding(age <= OLD_S or server == ours, f"events of {server}: last event {age:.0f} s ago")
        missing = [word for word in CALL_TYPES if word not in types.get(server, set())]
        if server != ours and missing and types.get(server):
            yield Finding(
                True,
                f"events of {server}: none yet of type {', '.join(missing)}; if calls were made, the handler's "
                'type mask leaves them out: set events = "all"',
            )
    if not set(last) - {ours}:
        yield Finding(True, NONE_YET.format(backend=backend))


def judge_janus(info: Any) -> Iterator[Finding]:
    """What a Janus server's ``info`` tells."""
    if not isinstance(info, dict) or info.get("janus") != "server_info":
        yield Finding(False, "it answers, but not as a Janus API: is the path right (/janus)?")
        return
    name = info.get("server-name", "")
    if info.get("event_handlers") is not True:
        yield Finding(False, f"{name}: events are not enabled: set events {{ broadcast = true }} in its janus.jcfg")
        return
    loaded = info.get("events")
    handlers = sorted(loaded) if isinstance(loaded, dict) else []
    if handlers:
        yield Finding(True, f"{name}: events are enabled, handlers: {', '.join(handlers)}")
    else:
        text = f"{name}: events are enabled, but no handler is: set enabled = true in a janus.eventhandler.*.jcfg"
        yield Finding(False, text)


async def ask_collector(web: str, *, ours: str, backend: str, headers: dict[str, str] | None = None) -> list[Finding]:
    """Ask the running collector at ``web``; ``headers``: of the request."""
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10), headers=headers) as http:
            text = await _text(http, f"{web}/metrics")
    except (aiohttp.ClientError, TimeoutError, ValueError) as problem:
        return [Finding(True, f"events: not known, {web}/metrics does not tell ({problem})")]
    return list(judge_events(text, ours=ours, backend=backend, now=time.time()))


async def ask_janus(url: str) -> list[Finding]:
    """Ask a Janus server at the address of its API, ``http://host:8088/janus``."""
    where = f"Janus at {url}"
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http,
            http.get(f"{url.rstrip('/')}/info") as reply,
        ):
            info = await reply.json(content_type=None) if reply.status == 200 else None
    except (aiohttp.ClientError, TimeoutError, ValueError) as problem:
        return [Finding(False, f"{where}: can't be asked: {problem or 'no answer'}")]
    return [Finding(finding.good, f"{where}: {finding.text}") for finding in judge_janus(info)]
