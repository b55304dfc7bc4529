"""What a gateway, its sessions and its handles share."""

from collections import Counter as Tally
from collections.abc import Callable

from msgspec import Struct

from appliance.core.clock import Clock
from appliance.core.events import Body, Event, event
from appliance.core.peer import MediaEngine
from appliance.core.recording import Recorder


class GatewayConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[api]``: the Janus API, whatever it comes in by."""

    api_secret: str = ""
    """What every request must carry as ``apisecret``; empty: the API is open."""
    api_secret_file: str = ""
    """The same from a file, which keeps it out of the environment and the process list."""
    token_auth: bool = False
    """Accept tokens that the Admin API stores (``add_token``), each for the plugins that it is allowed."""
    token_auth_secret: str = ""
    """Accept tokens that are signed with this secret, until they expire."""
    token_auth_secret_file: str = ""
    """A file that holds it."""
    session_timeout_s: float = 60.0
    """A session without a request for so long ends; 0: never."""
    reclaim_session_timeout_s: float = 0.0
    """How long a session whose connection is gone waits to be claimed; 0: it ends at once."""
    candidates_timeout_s: float = 45.0
    """How long candidates that came before their description are kept."""
    full_trickle: bool = False
    """Send our candidates one by one after the description, to clients that trickle; else they are in it."""
    opaqueid_in_api: bool = False
    """Repeat a handle's ``opaque_id`` in what its client is sent."""
    max_sessions: int = 10_000
    """Of the whole gateway; one more is refused (472)."""
    max_handles: int = 100
    """Of one session."""
    max_sdp_bytes: int = 262_144
    """Of one description; a larger one is refused (465), and so is one of more than 262,144 characters."""
    max_early_candidates: int = 100
    """Of one handle, before its description."""
    max_opaque_id: int = 1024
    """Characters: it is repeated in every event of the handle."""


class Context:
    """Time, events, media, and work to be done after the reply to the request at hand."""

    def __init__(
        self,
        config: GatewayConfig,
        clock: Clock,
        publish: Callable[[Event], None],
        media: MediaEngine,
        server_name: str,
        defer: Callable[[Callable[[], None]], None],
    ) -> None:
        self.config = config
        self.clock = clock
        self.media = media
        self.server_name = server_name
        self.defer = defer
        """Run an action once the reply to the request at hand is on its way, and before the next request."""
        self.limited: Tally[str] = Tally()
        """How often each limit was met."""
        self.recorder: Recorder | None = None
        """Keeps what passes on the handles that somebody wants recorded."""
        self._publish = publish

    def emit(
        self, body: Body, session_id: int | None = None, handle_id: int | None = None, opaque_id: str | None = None
    ) -> None:
        """Publish an event, stamped now."""
        self._publish(
            event(
                body,
                emitter=self.server_name,
                timestamp=self.clock.wall_us(),
                session_id=session_id,
                handle_id=handle_id,
                opaque_id=opaque_id,
            )
        )
