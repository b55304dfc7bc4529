"""What two servers that mean the same say alike: keys, types, and the words that clients look at."""

import json
import re
from collections import Counter
from collections.abc import Iterable
from fnmatch import fnmatch
from typing import Any, NamedTuple

WORDS = {"janus", "videoroom", "echotest", "event", "result", "hint", "reason", "code", "type", "kind", "configured",
         "unpublished", "leaving", "started", "paused", "left", "switched", "receiving", "uplink", "mid", "media",
         "plugin", "codec", "display", "description", "error", "error_code", "status", "moderation",
         "publisher"}  # fmt: skip
"""Compared by value, where they are words or truth."""
NUMBERS = {"code", "error_code", "status", "mindex"}
"""Numbers that are compared by value."""
TABLES = {"participants", "list", "tokens", "publishers", "sessions", "handles", "allowed", "allowed_plugins"}
"""Lists that the real server makes of tables, in no order."""
MADE_UP = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{6,}")
"""Ids inside of sentences."""


def shape(value: Any, key: str = "") -> Any:
    """Of a message: keys in their order, and of each value the word or the type."""
    if isinstance(value, dict):
        if "sdp" in value:
            return ["jsep", value["type"]]
        return [[inner, shape(value[inner], inner)] for inner in value]
    if isinstance(value, list):
        items = [shape(item) for item in value]
        return sorted(items, key=json.dumps) if key in TABLES else items
    if key in {"reason", "error", "description"} and isinstance(value, str):
        return MADE_UP.sub("N", value)
    if (key in WORDS and isinstance(value, str | bool)) or (key in NUMBERS and isinstance(value, int)):
        return value
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def shapes(messages: Iterable[Any]) -> Counter[str]:
    """How often each was said."""
    return Counter(json.dumps(shape(one)) for one in messages)


class Difference(NamedTuple):
    """Of one message in a case: it is only theirs, only ours, or each has its own."""

    cases: str
    """Patterns of names, ``|`` between them."""
    within: str
    """What its shape contains."""
    why: str

    def explains(self, case: str, other: str) -> bool:
        """Whether it is this one."""
        return self.within in other and any(fnmatch(case, pattern) for pattern in self.cases.split("|"))
