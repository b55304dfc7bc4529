"""A call's messages as a ladder of text: a column for each end, an arrow for each message."""

import contextlib
from collections import OrderedDict
from typing import Any

import msgspec

from appliance.hep.listen import TYPE_NAMES, summary
from appliance.hep.message import HepMessage, PayloadType
from appliance.hep.template import endpoint

COLUMN = 36
"""Characters from one end's line to the next."""
MARGIN = 18
"""Characters before the first: time since the call's first message, and the type."""
MAX_ENDS = 5
"""Columns; the messages of further ends are written as lines."""
MAX_CALLS = 1000
"""Calls whose ends are remembered; of another, the ladder begins anew."""


class _Call:
    __slots__ = ("began_us", "ends")

    def __init__(self, began_us: int) -> None:
        self.began_us = began_us
        self.ends: list[str] = []


def label(message: HepMessage) -> str:
    """What the message is, in a few words."""
    text = summary(message.payload)
    if message.payload_type == PayloadType.SIP:
        return text.removesuffix(" SIP/2.0").removeprefix("SIP/2.0 ")
    content: Any = None
    if text.startswith("{"):
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            content = msgspec.json.decode(message.payload)
    if not isinstance(content, dict):
        return text
    if message.payload_type == PayloadType.RTCP_JSON:
        return _report(content)
    told = content.get("event")
    if isinstance(told, dict):
        words = " ".join(str(value) for value in told.values() if isinstance(value, str | int | float))
        return summary(f"{content.get('name', '')} {words}".encode())
    return text


def _report(report: dict[str, Any]) -> str:
    kind = {200: "SR", 201: "RR", 202: "SDES"}.get(report.get("type", 0), "RTCP")
    blocks = report.get("report_blocks")
    block = blocks[0] if isinstance(blocks, list) and blocks and isinstance(blocks[0], dict) else {}
    told = [f"{word} {block[key]}" for word, key in (("lost", "packets_lost"), ("jitter", "ia_jitter")) if key in block]
    return summary(" ".join([kind, str(report.get("ssrc", "")), *told]).encode())


class Ladder:
    """Feed it messages as they come, of any number of calls; print the lines that it returns."""

    def __init__(self, *, max_calls: int = MAX_CALLS) -> None:
        self._calls: OrderedDict[str, _Call] = OrderedDict()
        self._max = max_calls
        self._shown: str | None = None
        """The call to which the last line belongs."""

    def lines(self, message: HepMessage) -> list[str]:
        """The message's line, and before it the call's head, if it isn't the one above."""
        name = summary((message.correlation_id or "-").encode(), 100)
        call = self._calls.get(name)
        if call is None:
            call = self._calls[name] = _Call(message.timestamp_us)
            if len(self._calls) > self._max:
                self._calls.popitem(last=False)
        else:
            self._calls.move_to_end(name)
        ends = endpoint(message.src, message.src_port), endpoint(message.dst, message.dst_port)
        fresh = [end for end in dict.fromkeys(ends) if end not in call.ends][: MAX_ENDS - len(call.ends)]
        call.ends += fresh
        out = []
        if fresh or name != self._shown:
            self._shown = name
            out = ["", f"── {name}", " " * MARGIN + "".join(f"{end:<{COLUMN}}" for end in call.ends).rstrip()]
        kind = TYPE_NAMES.get(message.payload_type, str(message.payload_type))
        since = (message.timestamp_us - call.began_us) / 1e6
        start = f"{since:+10.3f}s {kind[:5]:<5} "
        if all(end in call.ends for end in ends):
            out.append(
                start + _rung(len(call.ends), call.ends.index(ends[0]), call.ends.index(ends[1]), label(message))
            )
        else:
            out.append(f"{start}{ends[0]} -> {ends[1]} {label(message)}")
        return out


def _rung(columns: int, source: int, target: int, text: str) -> str:
    """The lines of all ends, and an arrow with its text between two of them."""
    if source == target:
        cells = [" " * (COLUMN - 1)] * (columns - 1) + [""]
        head = "".join("│" + cell for cell in cells[:source])
        room = COLUMN * max(1, columns - source) - 4
        return f"{head}│● {text[:room]}"
    left, right = min(source, target), max(source, target)
    room = (right - left) * COLUMN - 1
    body = f" {text[: room - 6]} ".center(room - 1, "─")
    arrow = f"{body}▶" if source < target else f"◀{body}"
    rest = "".join(" " * (COLUMN - 1) + "│" for _ in range(columns - 1 - right))
    return "│" + (" " * (COLUMN - 1) + "│") * left + arrow + "│" + rest
