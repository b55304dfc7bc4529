"""A client's session: its handles, its connection, and when it was last heard of."""

import secrets
from collections.abc import Callable, Container, Mapping
from typing import Any

from appliance.core import events
from appliance.core.context import Context
from appliance.core.errors import ErrorCode, JanusError, shown
from appliance.core.handle import Handle
from appliance.core.messages import ATTACH, MAX_ID, check, reply
from appliance.core.plugin import Plugin
from appliance.core.transport import Client


def new_id(taken: Container[int]) -> int:
    """An id that nobody can guess and that JavaScript can hold, from 1."""
    while True:
        candidate = secrets.randbelow(MAX_ID) + 1
        if candidate not in taken:
            return candidate


class Session:
    """What ``create`` makes. ``client`` is where its notifications go; it changes by ``claim``."""

    def __init__(self, context: Context, session_id: int, client: Client) -> None:
        self.id = session_id
        self.client = client
        self.handles: dict[int, Handle] = {}
        self.last_activity = context.clock.monotonic()
        self.orphaned_at: float | None = None
        """When its connection went, while it may be claimed."""
        self.timeout_s: float | None = None
        """Its own time-out, which the Admin API sets; 0: never, ``None``: that of all sessions."""
        self._over = False
        self._context = context
        transport = events.TransportRef(client.transport, client.id)
        context.emit(events.Session(name="created", transport=transport), session_id)
        client.session_began(session_id)

    def touch(self) -> None:
        """A request named it."""
        self.last_activity = self._context.clock.monotonic()

    def push(self, message: dict[str, Any]) -> None:
        """Send its client a message; nobody gets it when the client is gone."""
        if not self._over and self.orphaned_at is None:
            self.client.push(self.id, message)

    def attach(
        self, message: dict[str, Any], plugins: Mapping[str, Plugin], may_attach: Callable[[str], bool]
    ) -> Handle:
        """Attach to the plugin that is named.

        :raises JanusError: there is no such plugin, it is not this client's to use, or there are too many handles.
        """
        check(ATTACH, message)
        plugin = plugins.get(message["plugin"])
        if plugin is None:
            raise JanusError(ErrorCode.PLUGIN_NOT_FOUND, f"No such plugin '{shown(message['plugin'])}'")
        if not may_attach(plugin.package):
            text = f"Provided token can't access plugin '{plugin.package}'"
            raise JanusError(ErrorCode.UNAUTHORIZED_PLUGIN, text)
        opaque_id: str | None = message.get("opaque_id")
        config = self._context.config
        if opaque_id is not None and len(opaque_id) > config.max_opaque_id:
            text = f"Invalid element type (opaque_id should be at most {config.max_opaque_id} characters)"
            raise JanusError(ErrorCode.INVALID_ELEMENT_TYPE, text)
        if len(self.handles) >= config.max_handles:
            self._context.limited["handles"] += 1
            text = f"Couldn't attach to plugin: the session has {len(self.handles)} handles, as many as it may"
            raise JanusError(ErrorCode.PLUGIN_ATTACH, text)
        handle = Handle(self._context, self.id, new_id(self.handles), plugin, opaque_id, self.push)
        self.handles[handle.handle_id] = handle
        return handle

    def claim(self, client: Client) -> None:
        """Move to another connection; the old one is told that it is over for it."""
        if client is not self.client:
            if self.orphaned_at is None:
                self.client.session_over(self.id, timeout=False)
            self.client = client
            client.session_began(self.id)
        self.orphaned_at = None

    def destroy(self, *, tell: bool = True) -> None:
        """End it as asked. ``tell``: the client hears of every handle; it need not when it was the one that asked."""
        self._context.emit(events.Session(name="destroyed"), self.id)
        self._release(tell=tell)
        self._say_over(timeout=False)

    def abandon(self) -> None:
        """End it because its connection is gone: there is nobody to tell."""
        self._over = True
        self._context.emit(events.Session(name="destroyed"), self.id)
        self._release(tell=False)

    def expire(self) -> None:
        """End it because nothing was heard for too long: ``timeout`` is the last that its client hears."""
        self.push(reply("timeout", session_id=self.id))
        self._say_over(timeout=True)
        self._context.emit(events.Session(name="timeout"), self.id)
        self._release(tell=False)

    def _release(self, *, tell: bool) -> None:
        for handle in list(self.handles.values()):
            handle.release(tell=tell)
        self.handles.clear()

    def _say_over(self, *, timeout: bool) -> None:
        if not self._over and self.orphaned_at is None:
            self.client.session_over(self.id, timeout=timeout)
        self._over = True
