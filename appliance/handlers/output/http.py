"""Posts events to a backend as Janus's sampleevh does, with its options, but repeats what was not answered by 2xx."""

import gzip
from typing import ClassVar

import aiohttp
from msgspec import Struct

from appliance.core.auth import secret_of
from appliance.core.handler import HandlerContext
from appliance.handlers.output.base import OutputConfig, OutputHandler, RemoteConfig, part
from appliance.handlers.output.packing import Message
from appliance.handlers.output.poster import Poster, check_url
from appliance.net.tls import ClientTls


class HttpOutputConfig(RemoteConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[handlers.http]``; the names are those of ``janus.eventhandler.sampleevh.jcfg``."""

    grouping: bool = True
    """Up to 100 events in one message, an array, of those that wait anyway; else one event, an object, in each."""
    backend: str = "http://127.0.0.1:8080/"
    """Where events are posted: ``http://`` or ``https://``."""
    backend_user: str = ""
    """With a password: basic authentication."""
    backend_pwd: str = ""
    """The password."""
    backend_pwd_file: str = ""
    """A file that holds it, in place of ``backend_pwd``."""
    compress: bool = False
    """Send bodies compressed (gzip)."""
    compression: int = 6
    """How much, 0 to 9."""


class HttpOutput(OutputHandler):
    """Contract: :class:`appliance.core.handler.EventHandler`."""

    Config: ClassVar[type[Struct]] = HttpOutputConfig
    name = "http"
    tweakable = frozenset({"backend", "backend_user", "backend_pwd", "compress", "compression"})

    def __init__(self, config: HttpOutputConfig, context: HandlerContext) -> None:
        """:raises ValueError: a setting is no good."""
        super().__init__(config, context)
        self._poster = Poster()
        self._headers: dict[str, str] = {}
        self._changed(config)

    @property
    def config(self) -> HttpOutputConfig:
        """The settings in force."""
        assert isinstance(self._settings, HttpOutputConfig)
        return self._settings

    def _check(self, config: OutputConfig) -> None:
        super()._check(config)
        assert isinstance(config, HttpOutputConfig)
        check_url("backend", config.backend, instead="there are backend_user and backend_pwd")
        if not 0 <= config.compression <= 9:
            raise ValueError(f"compression: {config.compression} came, wanted 0 to 9")
        if bool(config.backend_user) != bool(secret_of("backend_pwd", config.backend_pwd, config.backend_pwd_file)):
            raise ValueError("backend_user, backend_pwd: wanted together, or neither")

    def _changed(self, before: OutputConfig) -> None:
        config = self.config
        self._headers = {"Content-Type": "application/json", "Accept": "*/*"}
        if config.backend_user:
            password = secret_of("backend_pwd", config.backend_pwd, config.backend_pwd_file)
            self._headers["Authorization"] = aiohttp.encode_basic_auth(config.backend_user, password, "utf-8")
        if config.compress:
            self._headers["Content-Encoding"] = "gzip"

    async def _open(self) -> None:
        await self._poster.open(part(self.config, ClientTls))

    async def _close(self) -> None:
        await self._poster.close()

    async def send(self, message: Message) -> None:
        """POST it. :raises OSError: no answer, or none that begins with 2."""
        config = self.config
        body = message.data
        if config.compress:
            body = gzip.compress(body, config.compression, mtime=0)
        await self._poster.post(config.backend, body, self._headers)
