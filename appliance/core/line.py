"""What joins a handle to one PeerConnection."""

from typing import Protocol

from appliance.core.events import Body
from appliance.core.peer import PeerConnection


class Hearer(Protocol):
    """The handle."""

    line: "Line | None"
    """The one that is heard."""

    def fact(self, body: Body) -> None:
        """The engine tells something."""

    def ask_plugin(self, hook: str, *arguments: object) -> None:
        """Call a hook of the plugin."""


class Line:
    """Hears one PeerConnection for the handle, and goes deaf when the handle has moved on to another."""

    def __init__(self, hearer: Hearer) -> None:
        self._hearer = hearer
        self.peer: PeerConnection | None = None
        self.closing = False
        """It was told to hang up, and has not yet said that it has."""

    def close(self) -> None:
        """End it without a word."""
        if self.peer is not None:
            self.peer.close(None)
            self.peer = None

    @property
    def _heard(self) -> bool:
        return self._hearer.line is self

    def fact(self, body: Body) -> None:
        """Contract: :class:`appliance.core.peer.PeerObserver`."""
        if self._heard:
            self._hearer.fact(body)

    def data_opened(self, label: str, protocol: str) -> None:
        """Nothing in the API tells a client of it."""

    def data(self, label: str, protocol: str, message: str | bytes) -> None:
        """A message came on a data channel."""
        if self._heard:
            self._hearer.ask_plugin("incoming_data", label, protocol, message)
