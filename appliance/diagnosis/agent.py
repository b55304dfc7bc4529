"""Which WebRTC implementation a client is, from its SDP and from the API connection's User-Agent; never a version."""

from collections.abc import Iterable

FAMILIES = ("Chrome", "Edge", "Opera", "Firefox", "Safari", "libwebrtc", "aiortc", "other")
"""A closed set, so that it may be grouped and counted by. libwebrtc: Chrome, Edge, Safari or an app built on it."""

_BY_HEADER = (
    # Each names those before it in its own header, so the most special comes first.
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("CriOS/", "Chrome"),
    ("Safari/", "Safari"),
)


def by_header(user_agent: str) -> str | None:
    """One of :data:`FAMILIES`; ``None`` for any but a browser: an application's HTTP library says nothing."""
    return next((name for mark, name in _BY_HEADER if mark in user_agent), None)


def by_description(sdp: str) -> str:
    """One of :data:`FAMILIES`, as the client's description gives it away.

    Firefox signs its origin line; libwebrtc writes ``WMS`` after a space in its msid-semantic, aiortc without one.
    """
    head = list(_session_lines(sdp.splitlines()))
    if any(line.startswith("o=mozilla") for line in head):
        return "Firefox"
    semantic = next((line.partition(":")[2] for line in head if line.startswith("a=msid-semantic:")), "")
    if semantic == "WMS *":
        return "aiortc"
    return "libwebrtc" if semantic.startswith(" WMS") else "other"


def _session_lines(lines: Iterable[str]) -> Iterable[str]:
    for line in lines:
        if line.startswith("m="):
            return
        yield line
