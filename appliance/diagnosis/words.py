"""The closed vocabularies of a verdict."""

from typing import TypeAlias

Detail: TypeAlias = "str | int | float | bool | None"
"""A figure of a verdict; what a sentence or a metric can hold."""

CONFIDENCES = ("possible", "likely", "certain")
"""Rising. certain: the events say it; likely: they fit nothing else that is common; possible: one of several."""

ACTORS = ("nobody", "client", "network", "server operator", "application developer")
"""Who should act. client: the person at the browser; network: whoever runs the networks and firewalls between."""

SEVERITIES = ("good", "notice", "fault")
"""good: as it should be; notice: worth knowing, perhaps meant; fault: the person was not served."""

PHASES = ("signalling", "gathering", "ice", "dtls", "first_media", "media", "end")
"""In the order in which a PeerConnection goes through them."""


def weaker(confidence: str) -> str:
    """One step down."""
    return CONFIDENCES[max(0, CONFIDENCES.index(confidence) - 1)]
