"""The two halves of the plugin contract: what the core calls, and what a plugin may call.

A plugin is a class with a ``Config`` (its section ``[plugins.<name>]``), named in :mod:`appliance.components` or by an
entry point ``appliance.plugins``. It sees no packet: it sets routes and receives facts. All methods run on the event
loop's thread and return at once.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

from msgspec import Struct

from appliance.core.events import Counter, SessionDescription
from appliance.core.peer import AnswerPolicy, MediaSource, OfferLine, PeerConnection, SourceLine


class PluginError(Exception):
    """A refusal that the client sees inside ``plugindata``; ``code`` is the plugin's own, e.g. 413."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Success(Struct, frozen=True):
    """The request is served: the reply carries ``data``."""

    data: dict[str, Any]


class Ack(Struct, frozen=True):
    """The answer comes later, as an event with the same transaction."""

    hint: str | None = None


class HandleApi(Protocol):
    """What the core lends a plugin for one handle (Janus's ``janus_callbacks``)."""

    session_id: int
    handle_id: int
    opaque_id: str | None
    e2ee: bool
    """Media are encrypted from client to client: descriptions say so, both ways. A client's sets it; a plugin may."""

    @property
    def peer(self) -> PeerConnection | None:
        """The PeerConnection; ``None`` before the first description and after a hangup."""

    def answer(self, policy: AnswerPolicy) -> SessionDescription:
        """Answer the offer that came with this message. :raises PluginError: there was none."""

    def offer(self, lines: Sequence[OfferLine], *, ice_restart: bool = False) -> SessionDescription:
        """Make an offer, to be sent with :meth:`push_event`; there is a PeerConnection from then on.

        The answer comes as ``jsep`` of type ``answer`` with a message, already taken.

        :raises PluginError: an answer is due already, or the lines can't be offered (see ``create_offer``).
        """

    def source(self, lines: Sequence[SourceLine], keyframe: Callable[[str], None] | None = None) -> MediaSource:
        """Media of the plugin's own, for as many clients as it likes: it outlives this handle, until it is closed.

        ``keyframe`` is told the mid of which a client needs a key frame, twice a second at most.

        :raises ValueError: two lines have the same mid, one is neither audio nor video, or there are too many.
        """

    def push_event(
        self, data: dict[str, Any], *, transaction: str | None = None, jsep: SessionDescription | None = None
    ) -> None:
        """Send the client an event: with the transaction of a request it answers, without one of our own accord."""

    def notify(self, data: dict[str, Any], *, with_handle: bool = True) -> None:
        """Publish a plugin event (type 64) on the bus; ``with_handle`` false: one that names no session and handle."""

    def close_peer(self) -> None:
        """Hang up: the client sees the reason ``Close PC``."""

    def later(self, action: Callable[[], object]) -> None:
        """Run ``action()`` once the reply to the current request is on its way."""


SourceMaker = Callable[[Sequence[SourceLine], Callable[[str], None] | None], MediaSource]
"""As :meth:`HandleApi.source`."""
TokenReader = Callable[[str], frozenset[str] | None]
"""What a signed token whose realm is the plugin's package grants (``room=1234``); ``None``: it is not valid."""


class PluginHandle(ABC):
    """One client attached to one plugin."""

    def __init__(self, api: HandleApi) -> None:
        self.api = api

    @abstractmethod
    def message(self, body: dict[str, Any], jsep: SessionDescription | None, transaction: str) -> Success | Ack:
        """Serve a request. Read everything before changing anything: a refused request changes nothing.

        :raises PluginError: the request is refused; the client gets it as ``janus: success`` with the error inside.
        """

    # Optional hooks: doing nothing is a fine default.
    def setup_media(self) -> None:
        """The PeerConnection is up."""

    def hangup_media(self, reason: str) -> None:
        """The PeerConnection has ended."""

    def incoming_data(self, label: str, protocol: str, message: str | bytes) -> None:
        """A data channel message."""

    def slow_link(self, mid: str, media: str, *, uplink: bool, lost: int) -> None:
        """Packets are lost on the way to the client (``uplink``) or from it."""

    def detached(self) -> None:
        """The handle is gone."""

    def query(self) -> dict[str, Any]:
        """``plugin_specific`` of the Admin API's ``handle_info``."""
        return {}


class Plugin(ABC):
    """A kind of service that clients attach to."""

    Config: ClassVar[type[Struct]]
    package: ClassVar[str]
    """What clients name, e.g. ``janus.plugin.echotest``."""
    name: ClassVar[str]
    author: ClassVar[str] = "the appliance's authors"
    description: ClassVar[str]
    version: ClassVar[int]
    version_string: ClassVar[str]

    @abstractmethod
    def attach(self, api: HandleApi) -> PluginHandle:
        """A client attaches."""

    def open(self, folder: Path) -> None:
        """Called once, before the first client: ``folder`` (which need not be there yet) is where a plugin keeps files.

        :raises ValueError: what is kept there is of no use; the message names the file.
        """
        return

    def lend(self, source: SourceMaker) -> None:
        """Called once, before the first client: how to make media that belong to no client's handle."""
        return

    def lend_tokens(self, granted: TokenReader) -> None:
        """Called once, before the first client, where there is a secret that tokens are signed with."""
        return

    def close(self) -> None:
        """Called once, after the last client: files end here."""
        return

    def measure(self) -> Iterable[Counter]:
        """What it counts, see :mod:`appliance.core.measure`; asked every few seconds."""
        return ()

    def handle_admin_message(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """``message_plugin`` of the Admin API: what ``response`` holds; ``None``: this plugin takes none.

        Never raises: a refusal has ``error_code`` and ``error``.
        """
        return None
