"""What each long-running process does first: limits, its place in the data folder, and its own troubles counted."""

import logging
from collections.abc import Iterable
from contextlib import AsyncExitStack

from appliance.config import ServerConfig
from appliance.core.events import Counter
from appliance.folder import data_dir, held, too_open
from appliance.net.http_server import HttpServer
from appliance.net.limits import QuietLoop, protect_process

logger = logging.getLogger(__name__)


class OwnTroubles:
    """Contract: :class:`appliance.core.measure.Measured`."""

    def __init__(self, loop: QuietLoop) -> None:
        self.listeners: dict[str, HttpServer] = {}
        """Whose refused connections are counted, by the value of ``listener``."""
        self._loop = loop

    def measure(self) -> Iterable[Counter]:
        """Unexpected errors, and connections that were turned away."""
        yield Counter("event_loop_errors_total", self._loop.problems)
        for listener, server in self.listeners.items():
            for reason, count in server.refused.items():
                yield Counter("http_connections_refused_total", count, {"listener": listener, "reason": reason})


def begin(role: str, server: ServerConfig, stack: AsyncExitStack) -> OwnTroubles:
    """Called inside the event loop, before anything is opened; ``role`` is ``gateway`` or ``collector``.

    :raises ConfigError: the data folder can't be had, or another process of this role has it.
    """
    loop = protect_process()
    folder = data_dir(server)
    stack.enter_context(held(folder, role))
    warning = too_open(folder)
    if warning and role == "collector":
        # Once is enough: both have the same folder.
        logger.warning("server.data_dir: %s", warning)
    return OwnTroubles(loop)
