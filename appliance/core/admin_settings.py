"""The Admin API's settings: ``get_status`` and every ``set_...`` that concerns the whole gateway."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from appliance.core.errors import ErrorCode, JanusError
from appliance.core.messages import Element, Kind, check
from appliance.core.server_info import whole

if TYPE_CHECKING:
    from appliance.core.admin_tools import Logs
    from appliance.core.gateway import Gateway

MAX_TIMEOUT_S = 2**31
MAX_LOG_LEVEL = 7


class _Setting(Struct, frozen=True):
    """What one request is called, takes and answers."""

    argument: Element
    shown: str
    """The reply's key."""


def _setting(argument: str, kind: Kind, shown: str = "") -> _Setting:
    return _Setting(Element(argument, kind, required=True), shown or argument)


SETTINGS = {
    "set_session_timeout": _setting("timeout", Kind.POSITIVE),
    "set_log_level": _setting("level", Kind.POSITIVE),
    "set_log_timestamps": _setting("timestamps", Kind.BOOLEAN, "log_timestamps"),
    "set_log_colors": _setting("colors", Kind.BOOLEAN, "log_colors"),
    "set_locking_debug": _setting("debug", Kind.BOOLEAN, "locking_debug"),
    "set_refcount_debug": _setting("debug", Kind.BOOLEAN, "refcount_debug"),
    "set_min_nack_queue": _setting("min_nack_queue", Kind.POSITIVE),
    "set_nack_optimizations": _setting("nack_optimizations", Kind.BOOLEAN, "nack-optimizations"),
    "set_no_media_timer": _setting("no_media_timer", Kind.POSITIVE),
    "set_slowlink_threshold": _setting("slowlink_threshold", Kind.POSITIVE),
    "accept_new_sessions": _setting("accept", Kind.BOOLEAN),
}


class AdminSettings:
    """Reads and changes what is in force.

    What Janus has and this gateway has not (colours of the log, debugging of locks and of reference counts, the NACK
    queue's length in time) is kept and shown, so that tools which set it go on, and does nothing.
    """

    def __init__(self, gateway: "Gateway", logs: "Logs") -> None:
        self._gateway = gateway
        self._logs = logs
        self._kept: dict[str, Any] = {
            "set_log_colors": False,
            "set_locking_debug": False,
            "set_refcount_debug": False,
            "set_min_nack_queue": 200,
            "set_nack_optimizations": False,
        }

    def status(self) -> dict[str, Any]:
        """``status`` of ``get_status``, its keys in Janus's order."""
        config, media, kept = self._gateway.context.config, self._gateway.context.media.settings(), self._kept
        return {
            "token_auth": self._gateway.auth.takes_tokens,
            "session_timeout": whole(config.session_timeout_s),
            "reclaim_session_timeout": whole(config.reclaim_session_timeout_s),
            "candidates_timeout": whole(config.candidates_timeout_s),
            "log_level": self._logs.level,
            "log_timestamps": self._logs.timestamps,
            "log_colors": kept["set_log_colors"],
            "log_rotate_sig": 0,
            "locking_debug": kept["set_locking_debug"],
            "refcount_debug": kept["set_refcount_debug"],
            "min_nack_queue": kept["set_min_nack_queue"],
            "nack-optimizations": kept["set_nack_optimizations"],
            "no_media_timer": whole(media["no_media_timer"]),
            "slowlink_threshold": media["slowlink_threshold"],
        }

    def change(self, verb: str, message: dict[str, Any]) -> dict[str, Any]:
        """Serve one of :data:`SETTINGS`: what the reply holds. :raises JanusError: the value is none it can have."""
        setting = SETTINGS[verb]
        check((setting.argument,), message)
        value = message[setting.argument.name]
        if setting.argument.kind is Kind.POSITIVE and value > MAX_TIMEOUT_S:
            text = f"Invalid element type ({setting.argument.name} should be at most {MAX_TIMEOUT_S})"
            raise JanusError(ErrorCode.INVALID_ELEMENT_TYPE, text)
        actions: dict[str, Callable[[Any], None]] = {
            "set_session_timeout": self._set_session_timeout,
            "set_log_level": self._set_log_level,
            "set_log_timestamps": self._set_log_timestamps,
            "set_no_media_timer": lambda seconds: self._set_media(no_media_timer=float(seconds)),
            "set_slowlink_threshold": lambda packets: self._set_media(slowlink_threshold=packets),
            "accept_new_sessions": self._accept,
        }
        if verb in actions:
            actions[verb](value)
        else:
            self._kept[verb] = value
        return {setting.shown: value}

    def _set_session_timeout(self, seconds: int) -> None:
        context = self._gateway.context
        context.config = replace(context.config, session_timeout_s=float(seconds))

    def _set_log_level(self, level: int) -> None:
        if level > MAX_LOG_LEVEL:
            text = f"Invalid element type (level should be between 0 and {MAX_LOG_LEVEL})"
            raise JanusError(ErrorCode.INVALID_ELEMENT_TYPE, text)
        self._logs.level = level

    def _set_log_timestamps(self, wanted: bool) -> None:
        self._logs.timestamps = wanted

    def _set_media(self, **changes: float) -> None:
        self._gateway.context.media.configure(**changes)

    def _accept(self, accept: bool) -> None:
        self._gateway.accepting = accept
