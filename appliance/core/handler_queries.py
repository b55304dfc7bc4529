"""``query_eventhandler``: what an operator asks of a running event handler and changes about it."""

from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Struct, to_builtins

from appliance.core.bus import BusView, Subscription
from appliance.core.errors import shown
from appliance.core.events import EventType, parse_mask
from appliance.core.handler import EventHandler, Tweakable
from appliance.core.queue import WORD_OF

INVALID_REQUEST, MISSING_ELEMENT, INVALID_ELEMENT = 411, 412, 413
LINKED = ("connected",)
"""What a handler with a connection tells of it."""


class HandlerQueries:
    """Answers for every handler of a collector. ``is_secret`` tells which settings are not shown."""

    def __init__(self, bus: BusView, is_secret: Callable[[str], bool]) -> None:
        self._bus = bus
        self._is_secret = is_secret
        self._known: dict[str, tuple[EventHandler, Struct]] = {}

    def add(self, handler: EventHandler, config: Struct) -> None:
        """Know one more."""
        self._known[handler.name] = (handler, config)

    def serve(self, verb: str, args: dict[str, Any]) -> dict[str, Any]:
        """What a gateway asks over the link.

        :raises LookupError: there is no such request.
        :raises ValueError: an argument is missing.
        """
        if verb == "list_eventhandlers":
            return {"handlers": list(self._known)}
        if verb != "query_eventhandler":
            raise LookupError(f"no such request {shown(verb)!r}")
        name, request = args.get("handler"), args.get("request")
        if not isinstance(name, str) or not isinstance(request, dict):
            raise ValueError("handler and request: wanted a name and an object")
        # Janus's tools name a package.
        found = self._known.get(name.rpartition(".")[2])
        return {} if found is None else {"response": self._answer(*found, request)}

    def _answer(self, handler: EventHandler, config: Struct, request: dict[str, Any]) -> dict[str, Any]:
        changes = {key: value for key, value in request.items() if key != "request"}
        match request.get("request"):
            case None:
                return _error(MISSING_ELEMENT, "Missing mandatory element (request)")
            case "info":
                return {"result": 200, "info": self._info(handler, config)}
            case "tweak":
                return self._tweak(handler, config, changes)
            case str(name):
                return _error(INVALID_REQUEST, f"Unknown request '{shown(name)}'")
            case _:
                return _error(INVALID_ELEMENT, "Invalid element type (request should be a string)")

    def _info(self, handler: EventHandler, config: Struct) -> dict[str, Any]:
        info: dict[str, Any] = {"handler": handler.name, "events": list(_words(handler.mask))}
        subscription = self._subscription(handler)
        info["running"] = subscription is not None
        for name in LINKED:
            if hasattr(handler, name):
                info[name] = bool(getattr(handler, name))
        if subscription is not None:
            info["queue"] = {
                "length": len(subscription),
                "capacity": subscription.depth,
                "bytes": subscription.bytes,
                "oldest_age_s": round(subscription.oldest_age(), 3),
                "delivered": subscription.delivered,
                "failed": subscription.failed,
                "dropped": dict(subscription.dropped),
            }
        # A handler whose settings have changed says which are in force.
        values: dict[str, Any] = to_builtins(getattr(handler, "config", config))
        info["settings"] = {
            key: "********" if value and self._is_secret(key) else value for key, value in values.items()
        }
        return info

    def _subscription(self, handler: EventHandler) -> Subscription | None:
        return next((each for each in self._bus.subscriptions if each.consumer is handler), None)

    def _tweak(self, handler: EventHandler, config: Struct, changes: dict[str, Any]) -> dict[str, Any]:
        try:
            if isinstance(handler, Tweakable):
                handler.tweak(changes)
            else:
                _tweak_mask(handler, config, changes)
        except ValueError as problem:
            return _error(INVALID_ELEMENT, f"Invalid element ({problem})")
        return {"result": 200}


def _tweak_mask(handler: EventHandler, config: Struct, changes: dict[str, Any]) -> None:
    for name in changes:
        if name != "events":
            raise ValueError(f"{shown(name)}: can't be changed while the handler runs; events can")
    events = changes.get("events")
    if events is None:
        return
    if not isinstance(events, str):
        raise ValueError("events: wanted words such as 'sessions, webrtc'")
    handler.mask = parse_mask(events)


def _words(mask: EventType) -> Iterable[str]:
    return (word for bit, word in WORD_OF.items() if bit & mask)


def _error(code: int, text: str) -> dict[str, Any]:
    return {"error_code": code, "error": text}
