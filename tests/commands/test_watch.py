"""``appliance watch``: what a line says."""

from typing import Any

import msgspec

from appliance.commands.watch import line_of
from appliance.core import events as e


def content(body: e.Body) -> dict[str, Any]:
    made = e.event(body, emitter="gateway", timestamp=1_795_000_000_000_000, session_id=1, handle_id=2)
    read: dict[str, Any] = msgspec.json.decode(e.encode_json(made))
    return read


def test_a_line_says_when_who_and_what() -> None:
    line = line_of(content(e.IceState(ice="connected")) | {"correlation_id": "1-2-1@gateway"})
    time, who, what = line.split("  ", 2)
    assert (len(time), who) == (len("12:34:56.789"), "1-2-1@gateway")
    assert "connected" in what


def test_the_gateways_counters_are_no_news_to_people() -> None:
    assert line_of(content(e.Counters(counters=(e.Counter("x", 1),)))) == ""


def test_what_was_lost_and_what_is_no_event_is_said() -> None:
    assert line_of({"lost": 7}).startswith("... 7 events were not shown")
    assert line_of({"type": "x"}).startswith("???")
