"""Which calls are recorded: rules as people write them.

A rule that names a call, a session, a handle or a room records it from now on. One that says what went wrong decides
when the call is over, from what its gateway kept of its last seconds. ``next`` before either: the first such call only.
"""

import re

from msgspec import Struct

MAX_RULES = 100
_NAMED = re.compile(r"(call|session|handle|room)\s+(\S{1,256})")
_LOSS = re.compile(r"loss\s*(?:>|over)\s*(\d{1,2}(?:\.\d+)?)\s*%?")
_VERDICT = re.compile(r"verdict\s+([a-z_]{1,64})")
GRAMMAR = "failed, verdict CODE, loss > N%, call ID, session ID, handle ID or room ID; 'next' before it takes one only"


class RuleError(ValueError):
    """It is no rule; says what would be."""


class Facts(Struct, kw_only=True):
    """What rules look at. Of a call that is not over, only its names are known."""

    correlation_id: str
    session_id: int | None = None
    handle_id: int | None = None
    room: str | None = None
    code: str | None = None
    """Of the final verdict."""
    failed: bool = False
    """The final verdict tells of a fault."""
    loss: float | None = None
    """Of the worst track over the whole call, 0 to 1."""


class Rule(Struct, frozen=True, kw_only=True):
    """One rule. ``decides`` when the call is over, or names calls while they are on."""

    text: str
    kind: str
    value: str = ""
    once: bool = False

    @property
    def decides(self) -> bool:
        """Only when the call is over."""
        return self.kind in {"failed", "verdict", "loss"}

    def holds(self, facts: Facts) -> bool:
        """Whether it is about this call."""
        match self.kind:
            case "failed":
                return facts.failed
            case "verdict":
                return facts.code == self.value
            case "loss":
                return facts.loss is not None and facts.loss * 100 > float(self.value)
            case "call":
                return facts.correlation_id == self.value
            case "session":
                return str(facts.session_id) == self.value
            case "handle":
                return str(facts.handle_id) == self.value
            case _:
                return facts.room is not None and facts.room == self.value


def parse(text: str) -> Rule:
    """:raises RuleError: see there."""
    plain = " ".join(text.split())
    words = plain.removeprefix("the ")
    once = words.startswith("next ")
    words = words.removeprefix("next ")
    if words in {"failed", "failed call"}:
        return Rule(text=plain, kind="failed", once=once)
    for pattern, kind in ((_VERDICT, "verdict"), (_LOSS, "loss")):
        if found := pattern.fullmatch(words):
            return Rule(text=plain, kind=kind, value=found[1], once=once)
    if found := _NAMED.fullmatch(words):
        return Rule(text=plain, kind=found[1], value=found[2], once=once)
    raise RuleError(f"rule {text[:100]!r}: wanted {GRAMMAR}")
