"""The Admin API put together: what it needs of the world outside the core, and its two listeners."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from appliance.config import ConfigError, Settings
from appliance.core.admin import AdminApi
from appliance.core.admin_tools import AdminTools
from appliance.core.auth import secret_of
from appliance.core.clock import Clock
from appliance.core.gateway import Gateway
from appliance.core.transport import ServesAdmin
from appliance.handlers.link import LinkHandler
from appliance.media.capture import CaptureFiles
from appliance.media.probe import NetworkProbe
from appliance.recording.config import RecordingConfig
from appliance.recording.recorder import GatewayRecorder
from appliance.transports.admin import AdminConfig, AdminHttp, AdminWebSocket, check_exposure

LOG_FORMAT = "%(levelname)s %(name)s: %(message)s"
LEVELS = {
    0: logging.CRITICAL + 10,
    1: logging.CRITICAL,
    2: logging.ERROR,
    3: logging.WARNING,
    4: logging.INFO,
    5: logging.DEBUG,
    6: logging.DEBUG,
    7: logging.DEBUG,
}
"""Janus's levels to Python's."""


class LogControl:
    """Implements :class:`appliance.core.admin_tools.Logs` on a logger and its handlers."""

    def __init__(self, root: logging.Logger) -> None:
        self._root = root
        current = root.getEffectiveLevel()
        self._level = next((level for level, number in LEVELS.items() if number <= current), 7)
        self._timestamps = True

    @property
    def level(self) -> int:
        """0 (nothing) to 7 (everything)."""
        return self._level

    @level.setter
    def level(self, level: int) -> None:
        self._level = level
        self._root.setLevel(LEVELS[level])

    @property
    def timestamps(self) -> bool:
        """Whether each line begins with the time."""
        return self._timestamps

    @timestamps.setter
    def timestamps(self, wanted: bool) -> None:
        self._timestamps = wanted
        formatter = logging.Formatter(f"%(asctime)s {LOG_FORMAT}" if wanted else LOG_FORMAT)
        for handler in self._root.handlers:
            handler.setFormatter(formatter)


def make_recorder(settings: Settings, clock: Clock, folder: Path) -> GatewayRecorder:
    """Keeps what is recorded; ``folder`` is the data directory."""
    loop = asyncio.get_running_loop()

    def write(work: Callable[[], None]) -> None:
        loop.run_in_executor(None, work)

    return GatewayRecorder(settings.section("recording", RecordingConfig), clock, folder, write)


class AdminDoors:
    """The Admin API of a gateway and what it listens on."""

    def __init__(self, settings: Settings, gateway: Gateway, link: LinkHandler, clock: Clock, folder: Path) -> None:
        """``folder``: the data directory. :raises ConfigError: others could come in unasked, or a file is no good."""
        config = settings.section("admin", AdminConfig)
        try:
            secret = secret_of("secret", config.secret, config.secret_file)
            check_exposure(config, secret)
            self._has_secret = bool(secret)
            self._captures = CaptureFiles(folder / "captures", clock, max_bytes=config.max_capture_bytes)
            tools = AdminTools(
                captures=self._captures,
                network=NetworkProbe(),
                collector=link,
                logs=LogControl(logging.getLogger()),
            )
            self.api = AdminApi(gateway, tools, secret)
            self.http = AdminHttp(config, self.api, clock)
            self.websocket = AdminWebSocket(config, self.api, clock)
        except ValueError as problem:
            raise ConfigError(f"admin: {problem}") from None

    def lend(self, section: str, transport: ServesAdmin) -> None:
        """Let a transport carry it too. :raises ConfigError: others could come in by it unasked."""
        if transport.exposes_admin and not self._has_secret:
            raise ConfigError(f"transports.{section}.admin_enabled: wanted admin.secret or admin.secret_file")
        transport.serve_admin(self.api)

    async def start(self, stack: AsyncExitStack) -> dict[str, str]:
        """Listen until ``stack`` unwinds; where, by what. :raises OSError: an address can't be had."""
        stack.callback(self._captures.close)
        for door in (self.http, self.websocket):
            await door.start()
            stack.push_async_callback(door.stop)
        return {"admin": self.http.url, "admin_websocket": self.websocket.url}
