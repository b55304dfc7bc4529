"""The contract between an API transport and the core.

A transport is a class with a ``Config`` (its section ``[transports.<name>]``), named in :mod:`appliance.components` or
by an entry point ``appliance.transports``. It turns bytes into dictionaries and back, and knows who is asking; what a
request means is the core's business.
"""

from collections.abc import Awaitable, Iterable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from msgspec import Struct

from appliance.core.errors import JanusError
from appliance.core.events import Counter


class Client(Protocol):
    """One API connection, as the core sees it: where replies' events go.

    Identity matters: a session belongs to the client object that created it. An HTTP transport, whose connections
    come and go, gives each session one client of its own.
    """

    transport: str
    """Package name, e.g. ``janus.transport.http``."""
    id: str
    """Decimal text, as in the transport's events; HTTP: that of the request at hand."""

    def session_began(self, session_id: int) -> None:
        """The session is this client's from now on: it created or claimed it."""

    def push(self, session_id: int, message: dict[str, Any]) -> None:
        """Take an event for the session: queued (bounded) or sent. Never blocks, never raises."""

    def session_over(self, session_id: int, *, timeout: bool) -> None:
        """The session is gone; nothing more will be pushed for it."""


class Api(Protocol):
    """What the core offers a transport."""

    def request(self, message: object, client: Client) -> dict[str, Any]:
        """Serve one Janus API request and return the reply (success, ack, error, ...). Never raises."""

    def refuse(self, error: JanusError, client: Client) -> dict[str, Any]:
        """The reply to what does not even become a request: no JSON (454), conflicting ids (457), ..."""

    def session_exists(self, session_id: int) -> bool:
        """Whether it is alive."""

    def touch(self, session_id: int) -> None:
        """A long poll keeps a session alive."""

    def authorized(self, apisecret: str | None, token: str | None) -> bool:
        """For a long poll, which is no request of its own."""

    def gone(self, client: Client) -> None:
        """The connection is lost: its sessions end (or wait to be claimed)."""

    def transport_event(self, transport: str, id: str, data: dict[str, Any]) -> None:
        """Publish a type 128 event."""


class AdminApi(Protocol):
    """What the core offers a transport of the Admin API."""

    async def request(self, message: object) -> dict[str, Any]:
        """Serve one Admin API request. Never raises."""

    def refuse(self, error: JanusError) -> dict[str, Any]:
        """The reply to what does not even become a request."""

    def transport_event(self, transport: str, id: str, data: dict[str, Any]) -> None:
        """Publish a type 128 event."""


@runtime_checkable
class ServesAdmin(Protocol):
    """A transport that can carry the Admin API beside the Janus API."""

    exposes_admin: bool
    """It will, and to others than this machine's user, so that a secret is wanted."""

    def serve_admin(self, api: AdminApi) -> None:
        """Serve it from the start on, where the transport's settings want it."""


@runtime_checkable
class KeepsFiles(Protocol):
    """A transport that has files in the data directory."""

    def open(self, folder: Path) -> None:
        """Called once, before the start: the data directory."""


@runtime_checkable
class AnswersQueries(Protocol):
    """A transport that the Admin API can ask and tell something while it runs."""

    def query(self, request: dict[str, Any]) -> dict[str, Any]:
        """``query_transport``: what ``response`` holds. Never raises: a refusal has ``error_code`` and ``error``."""


class ModuleInfo(Struct, frozen=True):
    """What ``server_info`` tells of a transport, a plugin or an event handler, in Janus's shape."""

    name: str
    author: str
    description: str
    version_string: str
    version: int


class ApiTransport(Protocol):
    """A way in. Made with its configuration, ``HttpTransport(HttpTransport.Config())``; counts what it drops."""

    name: str
    """Package name."""
    info: ModuleInfo

    @property
    def url(self) -> str:
        """Where it can be reached, the port being the one in use."""

    def start(self, api: Api) -> Awaitable[None]:
        """Listen. :raises OSError: the address can't be had; the message names it."""

    def stop(self) -> Awaitable[None]:
        """Stop listening, end the connections."""

    def measure(self) -> Iterable[Counter]:
        """Connections, and what limits cost."""
