"""What ``info`` answers and what the first event holds: Janus's keys, our truth."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import to_builtins

from appliance import __version__
from appliance.core.messages import reply
from appliance.core.transport import ModuleInfo

if TYPE_CHECKING:
    from appliance.core.auth import Authenticator
    from appliance.core.context import Context
    from appliance.core.plugin import Plugin

API_VERSION, API_VERSION_TEXT = 1401, "1.4.1"
"""The Janus whose API and events these are; clients and consumers branch on it."""


def server_info(
    context: "Context",
    auth: "Authenticator",
    *,
    accepting: bool,
    transaction: str | None,
    known: Mapping[str, Any],
    transports: Mapping[str, ModuleInfo],
    handlers: Mapping[str, ModuleInfo],
    plugins: Iterable["Plugin"],
) -> dict[str, Any]:
    """``known``: what only the composition knows (``local-ip``, ``ipv6``, ...)."""
    config = context.config
    info: dict[str, Any] = reply("server_info", transaction=transaction) | {
        "name": "WebRTC Appliance (Janus API)",
        "version": API_VERSION,
        "version_string": API_VERSION_TEXT,
        "author": "The appliance's authors",
        "appliance-version": __version__,
        "log-to-stdout": True,
        "log-to-file": False,
        "data_channels": True,
        "accepting-new-sessions": accepting,
        "session-timeout": whole(config.session_timeout_s),
        "reclaim-session-timeout": whole(config.reclaim_session_timeout_s),
        "candidates-timeout": whole(config.candidates_timeout_s),
        "server-name": context.server_name,
        "ice-lite": True,
        "ice-tcp": False,
        "full-trickle": config.full_trickle,
        "static-event-loops": 0,
        "api_secret": auth.required,
        "auth_token": auth.takes_tokens,
        "event_handlers": True,
        "opaqueid_in_api": config.opaqueid_in_api,
    }
    info |= known
    for kind, modules in (("transports", transports), ("events", handlers)):
        info[kind] = {name: to_builtins(module) for name, module in modules.items()}
    info["loggers"] = {}
    info["plugins"] = {
        plugin.package: to_builtins(
            ModuleInfo(plugin.name, plugin.author, plugin.description, plugin.version_string, plugin.version)
        )
        for plugin in plugins
    }
    return info


def whole(seconds: float) -> int | float:
    """An integer where it is one, as Janus writes durations."""
    return int(seconds) if seconds == int(seconds) else seconds
