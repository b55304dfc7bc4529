"""Full trickle: our candidates on their own instead of in the description (RFC 8838)."""

from appliance.core.events import SessionDescription


def take_candidates(description: SessionDescription) -> tuple[SessionDescription, list[str]]:
    """The description without candidates, and these, each once however many m-lines repeat it."""
    kept: list[str] = []
    candidates: dict[str, None] = {}
    for line in description.sdp.split("\n"):
        value = line.rstrip("\r")
        if value.startswith("a=candidate:"):
            candidates[value.removeprefix("a=")] = None
        elif value != "a=end-of-candidates":
            kept.append(line)
    return SessionDescription(description.type, "\n".join(kept)), list(candidates)
