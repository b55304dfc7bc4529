"""What the console and the Admin API ask of whoever records calls: a handler implements it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from appliance.core.events import Event

RECORDING_VERBS = ("start_recording", "stop_recording", "list_recordings")
"""What a gateway may ask its collector for."""


class BundleInfo(Struct, frozen=True, kw_only=True):
    """One recorded call on disk."""

    name: str
    """Of the file."""
    correlation_id: str
    bytes: int
    written_us: int


class Recordings(Protocol):
    """Calls that are recorded, and those that were."""

    @property
    def rules(self) -> list[str]:
        """As they were given, and still in force."""

    @property
    def recording(self) -> list[str]:
        """Correlation ids of the live calls that are being recorded."""

    def start_rule(self, text: str) -> None:
        """Record the calls that a rule is about. :raises ValueError: it is none, or there are too many."""

    def stop_rule(self, text: str) -> bool:
        """Take a rule back, and finish what it began; false when there is no such rule."""

    def bundles(self) -> list[BundleInfo]:
        """On disk, newest first."""

    def path(self, name: str) -> Path | None:
        """Where a bundle is; ``None`` when there is none of that name."""

    async def bundle(self, correlation_id: str, events: Sequence[Event] = ()) -> Path | None:
        """The newest of a call; of a live one, made now. One that was not recorded is made of its ``events`` alone.

        ``None``: there are none, or it could not be written.
        """


def serve_recordings(recordings: Recordings | None, verb: str, args: dict[str, Any]) -> dict[str, Any]:
    """Serve one of :data:`RECORDING_VERBS`.

    :raises LookupError: nothing records calls, or there is no such rule.
    :raises ValueError: the rule is none.
    """
    if recordings is None:
        raise LookupError("nothing records calls; handlers.recording.enabled would")
    if verb != "list_recordings":
        rule = args.get("rule")
        if not isinstance(rule, str) or not rule.strip():
            raise ValueError("rule: wanted words such as 'next failed' or 'handle 123'")
        if verb == "start_recording":
            recordings.start_rule(rule)
        elif not recordings.stop_rule(rule):
            raise LookupError(f"no rule {rule[:100]!r} is in force")
    return {"rules": recordings.rules, "recording": recordings.recording}
