"""``[handlers.recording]``."""

from msgspec import Struct

from appliance.handlers.hep.masking import parse_words
from appliance.recording.rules import MAX_RULES, parse


class RecordingRules(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The collector's part: which calls become bundles. What of them is kept is the gateway's, ``[recording]``."""

    enabled: bool = True
    events: str = "all"
    """Words of the mask. A type that is left out is missing in every bundle."""
    rules: tuple[str, ...] = ()
    """failed, verdict CODE, loss > N%, call ID, session ID, handle ID or room ID; ``next`` before it takes one only."""
    mask: str = "none"
    """What is hidden in bundles: addresses, ice, names; all or none. Secrets of requests are never kept."""
    max_seconds: float = 3600.0
    """Of one recording that was asked for; it is finished then."""
    max_bundles: int = 200
    """On disk; the oldest make room."""
    max_bytes: int = 2 * 2**30
    """Of all bundles on disk; the oldest make room."""
    max_events: int = 100_000
    """Of all live calls, kept in memory; the call that began first makes room."""

    def __post_init__(self) -> None:
        for text in self.rules:
            parse(text)
        if len(self.rules) > MAX_RULES:
            raise ValueError(f"rules: {len(self.rules)} came, wanted at most {MAX_RULES}")
        try:
            parse_words(self.mask)
        except ValueError as problem:
            raise ValueError(f"mask: {problem}") from None
        for name, least in (("max_seconds", 1), ("max_bundles", 1), ("max_bytes", 2**20), ("max_events", 100)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: {getattr(self, name)} came, wanted {least} or more")
