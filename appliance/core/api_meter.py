"""Counts API requests by closed labels, and how long they take."""

from collections import Counter as Tally
from collections.abc import Iterable

from appliance.core.events import Counter

REQUESTS = frozenset(
    {"info", "ping", "create", "attach", "message", "trickle", "keepalive", "hangup", "detach", "destroy", "claim"}
)
"""Verbs that are counted by name; all others are ``other``: the client chooses the word."""
TRANSPORTS = {
    "janus.transport.http": "http",
    "janus.transport.websockets": "websocket",
    "janus.transport.pfunix": "unix",
    "janus.transport.rabbitmq": "rabbitmq",
    "janus.transport.mqtt": "mqtt",
    "janus.transport.nanomsg": "nanomsg",
}


class ApiMeter:
    """Implements :class:`appliance.core.measure.Measured`."""

    def __init__(self) -> None:
        self._requests: Tally[tuple[str, str, str]] = Tally()
        self._durations: dict[str, tuple[int, float]] = {}

    def add(self, package: str, verb: str, answer: str, seconds: float) -> None:
        """Count a request by its transport's package, its verb, and the ``janus`` of its reply."""
        transport = TRANSPORTS.get(package, "other")
        outcome = answer if answer in {"ack", "error"} else "success"
        self._requests[transport, verb if verb in REQUESTS else "other", outcome] += 1
        count, total = self._durations.get(transport, (0, 0.0))
        self._durations[transport] = (count + 1, total + seconds)

    def measure(self) -> Iterable[Counter]:
        """Requests and the time they took."""
        for (transport, request, outcome), count in self._requests.items():
            labels = {"transport": transport, "request": request, "outcome": outcome}
            yield Counter("api_requests_total", count, labels)
        for transport, (count, total) in self._durations.items():
            yield Counter("api_request_duration_seconds_count", count, {"transport": transport})
            yield Counter("api_request_duration_seconds_sum", total, {"transport": transport})
