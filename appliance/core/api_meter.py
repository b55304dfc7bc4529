"""Counts API requests by closed labels, and how long they take."""

from collections import Counter as Tally
from collections.abc import Iterable

from appliance.core.events import Counter
from appliance.core.measure import Durations

REQUESTS = frozenset(
    {"info", "ping", "create", "attach", "message", "trickle", "keepalive", "hangup", "detach", "destroy", "claim"}
)
"""Verbs that are counted by name; all others are ``other``: the client chooses the word."""
ACKNOWLEDGED = frozenset({"message", "trickle", "keepalive"})
"""Verbs that are answered with an ``ack``, a message where its plugin takes its time."""
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
        self._durations: dict[tuple[str, str], Durations] = {}

    def expect(self, packages: Iterable[str]) -> None:
        """Count 0 of whatever may come by these transports, so that a rate sees the first of each."""
        for transport in {TRANSPORTS.get(package, "other") for package in packages}:
            for verb in sorted(REQUESTS):
                for outcome in _outcomes(verb):
                    self._requests[transport, verb, outcome] += 0

    def add(self, package: str, verb: str, answer: str, seconds: float) -> None:
        """Count a request by its transport's package, its verb, and the ``janus`` of its reply."""
        transport = TRANSPORTS.get(package, "other")
        outcome = answer if answer in {"ack", "error"} else "success"
        request = verb if verb in REQUESTS else "other"
        self._requests[transport, request, outcome] += 1
        self._durations.setdefault((transport, request), Durations()).add(seconds)

    def measure(self) -> Iterable[Counter]:
        """Requests and the time they took."""
        for (transport, request, outcome), count in self._requests.items():
            labels = {"transport": transport, "request": request, "outcome": outcome}
            yield Counter("api_requests_total", count, labels)
        for (transport, request), durations in self._durations.items():
            yield from durations.measure("api_request_duration_seconds", {"transport": transport, "request": request})


def _outcomes(verb: str) -> tuple[str, ...]:
    if verb not in ACKNOWLEDGED:
        return "success", "error"
    return ("ack", "success", "error") if verb == "message" else ("ack", "error")
