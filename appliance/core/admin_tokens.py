"""The Admin API's requests about stored tokens."""

from typing import Any

from appliance.core.errors import ErrorCode, JanusError, shown
from appliance.core.messages import Element, Kind, check
from appliance.core.tokens import StoredTokens, TokensFullError

VERBS = frozenset({"add_token", "allow_token", "disallow_token", "remove_token", "list_tokens"})
TOKEN = Element("token", Kind.STRING, required=True)
PLUGINS = Element("plugins", Kind.ARRAY)
WANTED_PLUGINS = Element("plugins", Kind.ARRAY, required=True)


def serve(tokens: StoredTokens | None, known: frozenset[str], verb: str, message: dict[str, Any]) -> dict[str, Any]:
    """What the reply holds; ``known`` are the plugins' packages.

    :raises JanusError: tokens are not stored here, there is no such token or plugin, or an element is wrong.
    """
    if tokens is None:
        raise JanusError(ErrorCode.UNKNOWN, "Stored-Token based authentication disabled")
    if verb == "list_tokens":
        listed = [{"token": token, "allowed_plugins": plugins} for token, plugins in tokens.list()]
        return {"data": {"tokens": listed}}
    check((TOKEN, WANTED_PLUGINS if verb in {"allow_token", "disallow_token"} else PLUGINS), message)
    token: str = message["token"]
    if verb == "add_token":
        return {"data": {"plugins": _add(tokens, token, message)}}
    if verb == "remove_token":
        try:
            tokens.remove(token)
        except KeyError:
            raise JanusError(ErrorCode.UNKNOWN, "Error removing token") from None
        return {}
    if token not in tokens:
        raise JanusError(ErrorCode.TOKEN_NOT_FOUND, f"Token {shown(token)} not found")
    plugins = _named(message)
    if not plugins:
        text = "Invalid element type (plugins should be a non-empty array)"
        raise JanusError(ErrorCode.INVALID_ELEMENT_TYPE, text)
    if not known.issuperset(plugins):
        text = "Invalid element type (some of the provided plugins are invalid)"
        raise JanusError(ErrorCode.INVALID_ELEMENT_TYPE, text)
    change = tokens.allow if verb == "allow_token" else tokens.disallow
    return {"data": {"plugins": change(token, plugins)}}


def _add(tokens: StoredTokens, token: str, message: dict[str, Any]) -> list[str]:
    try:
        return tokens.add(token, _named(message) if "plugins" in message else None)
    except TokensFullError:
        raise JanusError(ErrorCode.UNKNOWN, "Error adding token") from None


def _named(message: dict[str, Any]) -> list[str]:
    plugins = message["plugins"]
    if not all(isinstance(name, str) for name in plugins):
        text = "Invalid element type (plugins should be an array of strings)"
        raise JanusError(ErrorCode.INVALID_ELEMENT_TYPE, text)
    return list(plugins)
