"""Which PeerConnection an event belongs to.

Every message of one PeerConnection carries the same correlation id, as text, in Homer, in the store, in Grafana and
in the console: ``<session_id>-<handle_id>-<n>@<server name>``, n counting the PeerConnections of that handle from 1.
A handle can host several in turn: after a hangup, the next description starts the next.
"""

import re
from collections import OrderedDict

from appliance.core.events import Connection, Event, Handle, Jsep

MAX_HANDLES = 100_000
"""Handles remembered at once; the one that was quiet longest goes first."""


def safe_server_name(name: str) -> str:
    """Letters, digits, dots, hyphens; anything else becomes a hyphen: the name travels inside SIP and SQL."""
    return re.sub(r"[^A-Za-z0-9.-]", "-", name)[:64] or "unnamed"


def correlation_id(session_id: int, handle_id: int, number: int, server: str) -> str:
    """The text form."""
    return f"{session_id}-{handle_id}-{number}@{safe_server_name(server)}"


class _Life:
    __slots__ = ("ended", "number", "text")

    def __init__(self, text: str) -> None:
        self.number = 1
        self.ended = False
        self.text = text


class Correlator:
    """Counts the PeerConnections of every handle from the events as they come."""

    def __init__(self, max_handles: int = MAX_HANDLES) -> None:
        self._lives: OrderedDict[tuple[str, int, int], _Life] = OrderedDict()
        self._max = max_handles
        self.forgotten = 0

    def __len__(self) -> int:
        return len(self._lives)

    def of(self, item: Event) -> str | None:
        """The correlation id of this event; ``None`` where it belongs to no handle."""
        if item.session_id is None or item.handle_id is None:
            return None
        key = (item.emitter, item.session_id, item.handle_id)
        life = self._lives.get(key)
        if life is None:
            life = _Life(correlation_id(item.session_id, item.handle_id, 1, item.emitter))
            self._lives[key] = life
            if len(self._lives) > self._max:
                self._lives.popitem(last=False)
                self.forgotten += 1
        body = item.event
        if isinstance(body, Jsep) and life.ended:
            life.number += 1
            life.ended = False
            life.text = correlation_id(item.session_id, item.handle_id, life.number, item.emitter)
        elif isinstance(body, Connection) and body.connection == "hangup":
            life.ended = True
        elif isinstance(body, Handle) and body.name == "detached":
            del self._lives[key]
        elif isinstance(body, Jsep):
            self._lives.move_to_end(key)
        return life.text
