"""Final verdicts posted to a real server that takes them, refuses them or goes away."""

import json
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from appliance.core.events import CALL_SCHEMA, VERDICT_SCHEMA, Event, External, event
from appliance.handlers.output.webhook import WebhookConfig, WebhookOutput, signature
from tests.handlers.harness import context
from tests.handlers.output.backend import Backend, backend, running, until

EVERY = ("good", "notice", "fault")


def verdict(
    number: int, *, code: str = "dtls_mtu", severity: str = "fault", schema: str = VERDICT_SCHEMA, **data: Any
) -> Event:
    body = External(schema=schema, data={"code": code, "severity": severity, "final": True, "sentence": "s"} | data)
    item = event(body, emitter="gw/1", timestamp=1_700_000_000_000_000, session_id=number, handle_id=2, opaque_id="ana")
    return replace(item, correlation_id=f"{number}-2-1@gw")


def output(server: Backend, **settings: Any) -> Any:
    return partial(WebhookOutput, WebhookConfig(url=server.url, **{"retransmissions_backoff": 1} | settings))


async def posted(tmp_path: Path, items: list[Event], **settings: Any) -> list[dict[str, Any]]:
    async with backend() as server:
        async with running(output(server, **settings), tmp_path) as (_, bus, _):
            for item in items:
                bus.publish(item)
        return [json.loads(body) for body in server.bodies]


async def test_a_final_verdict_is_one_object_with_a_link(tmp_path: Path) -> None:
    [body] = await posted(tmp_path, [verdict(7)], console_url="https://console.example/")
    assert body.pop("id") >= 0
    assert body == {
        "type": "verdict", "timestamp_us": 1_700_000_000_000_000, "server": "gw/1", "correlation_id": "7-2-1@gw",
        "session_id": 7, "handle_id": 2, "opaque_id": "ana", "link": "https://console.example/call/7-2-1%40gw",
        "verdict": {"code": "dtls_mtu", "severity": "fault", "final": True, "sentence": "s"},
    }  # fmt: skip


async def test_what_is_no_final_verdict_is_not_sent(tmp_path: Path) -> None:
    items = [
        verdict(1, final=False), verdict(2, schema=CALL_SCHEMA), verdict(3, schema="ref.test"),
        verdict(4, severity="good"), verdict(5),
    ]  # fmt: skip
    assert [body["session_id"] for body in await posted(tmp_path, items)] == [5]
    assert [body["session_id"] for body in await posted(tmp_path, items, severities=EVERY)] == [4, 5]
    coded = [verdict(1), verdict(2, code="uplink_loss")]
    assert [body["session_id"] for body in await posted(tmp_path, coded, codes=("uplink_loss",))] == [2]


async def test_what_is_refused_is_repeated_under_the_same_number_and_then_dropped(tmp_path: Path) -> None:
    async with backend() as server:
        server.answers = [503, 500]
        async with running(output(server, max_retransmissions=2), tmp_path) as (handler, bus, _):
            bus.publish(verdict(1))
            await until(lambda: len(server.bodies) == 1)
            server.answers = [404] * 3
            bus.publish(verdict(2))
            await until(lambda: handler.dropped == {"retries_exhausted": 1})
            bus.publish(verdict(3))
            await until(lambda: len(server.bodies) == 2)
            counts = {(c.name, c.labels.get("outcome") or c.labels.get("reason")): c.value for c in handler.measure()}
    assert server.sessions == [1, 3]
    assert len({headers["X-Appliance-Delivery"] for headers in server.headers[:3]}) == 1
    assert counts["output_messages_total", "ok"] == 2
    assert counts["output_messages_total", "failed"] == 5
    assert counts["events_dropped_total", "retries_exhausted"] == 1


async def test_the_signature_is_what_openssl_makes_of_it(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("shared secret\n")
    async with backend() as server:
        settings = {"secret_file": str(tmp_path / "secret")}
        async with running(output(server, **settings), tmp_path) as (_, bus, _):
            bus.publish(verdict(1))
    signed = server.headers[0]["X-Appliance-Signature"]
    time, _, mac = signed.partition(",v1=")
    told = subprocess.run(  # noqa: ASYNC221  # takes no time
        ["openssl", "dgst", "-sha256", "-hmac", "shared secret"],
        input=time.removeprefix("t=").encode() + b"." + server.bodies[0], capture_output=True, check=True,
    )  # fmt: skip
    assert told.stdout.decode().split()[-1] == mac


def test_the_signature_of_a_known_request() -> None:
    # printf '1700000000.{}' | openssl dgst -sha256 -hmac secret
    assert (
        signature(b"secret", b"{}", 1_700_000_000)
        == "t=1700000000,v1=b8569b78799ff9e3cbff0fc2d63a33a2b57f3282abd07c37ae5e8e7d79a5f163"
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, r"url: '': wanted http://"),
        ({"url": "https://user:pw@x.example/"}, r"url: wanted no user or password in it: the signature"),
        ({"url": "http://x.example/", "severities": ("bad",)}, r"severities: 'bad' came, wanted good, notice, fault"),
        ({"url": "http://x.example/", "secret_file": "/nonexistent"}, r"secret_file: /nonexistent: No such file"),
        ({"url": "http://x.example/", "console_url": "console"}, r"console_url: 'console': wanted http://"),
    ],
)
def test_a_wrong_setting_is_said_in_words(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WebhookOutput(WebhookConfig(**settings), context(tmp_path))
