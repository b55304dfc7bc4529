"""The Admin API's requests that somebody else answers: plugins, transports, event handlers, the network."""

import logging
from typing import TYPE_CHECKING, Any

from msgspec import to_builtins

from appliance.core.admin_tools import AdminTools
from appliance.core.errors import ErrorCode, JanusError
from appliance.core.messages import Element, Envelope, Kind, check
from appliance.core.transport import AnswersQueries, ModuleInfo

if TYPE_CHECKING:
    from appliance.core.gateway import Gateway

logger = logging.getLogger(__name__)

REQUEST = Element("request", Kind.OBJECT)
"""Whoever is asked says what it misses in one that is empty or absent."""
ADDRESS = Element("address", Kind.STRING, required=True)
STUN = (ADDRESS, Element("port", Kind.POSITIVE, required=True), Element("localport", Kind.POSITIVE))
RECORDING = (Element("rule", Kind.STRING),)
MAX_NAME = 253
"""Characters of a host's name (RFC 1035)."""


def _named(kind: str) -> tuple[Element, Element]:
    return Element(kind, Kind.STRING, required=True), REQUEST


class AdminQueries:
    """Passes each to whom it is for."""

    def __init__(self, gateway: "Gateway", tools: AdminTools) -> None:
        self._gateway = gateway
        self._tools = tools

    async def serve(self, verb: str, message: dict[str, Any]) -> dict[str, Any] | None:
        """What the reply holds; ``None`` for a verb that is not ours. :raises JanusError: it is refused."""
        match verb:
            case "message_plugin":
                return self._ask_plugin(message)
            case "query_transport":
                return self._ask_transport(message)
            case "query_eventhandler":
                return await self._ask_handler(message)
            case "query_logger":
                check(_named("logger"), message)
                raise JanusError(ErrorCode.PLUGIN_NOT_FOUND, "Invalid logger")
            case "resolve_address":
                return await self._resolve(message)
            case "test_stun":
                return await self._test_stun(message)
            case _:
                return None

    def _ask_plugin(self, message: dict[str, Any]) -> dict[str, Any]:
        check(_named("plugin"), message)
        plugin = self._gateway.plugins.get(message["plugin"])
        if plugin is None:
            raise JanusError(ErrorCode.PLUGIN_NOT_FOUND, "Invalid plugin")
        response = plugin.handle_admin_message(message.get("request", {}))
        if response is None:
            raise JanusError(ErrorCode.UNKNOWN, "Plugin doesn't support Admin API messages")
        return {"response": response}

    def _ask_transport(self, message: dict[str, Any]) -> dict[str, Any]:
        check(_named("transport"), message)
        transport = self._gateway.transports.get(message["transport"])
        if transport is None:
            raise JanusError(ErrorCode.PLUGIN_NOT_FOUND, "Invalid transport")
        if not isinstance(transport, AnswersQueries):
            raise JanusError(ErrorCode.UNKNOWN, "Transport doesn't support queries")
        return {"response": transport.query(message.get("request", {}))}

    async def _ask_handler(self, message: dict[str, Any]) -> dict[str, Any]:
        check(_named("handler"), message)
        args = {"handler": message["handler"], "request": message.get("request", {})}
        try:
            answer = await self._tools.collector.ask("query_eventhandler", args)
        except ConnectionError as problem:
            raise JanusError(ErrorCode.UNKNOWN, f"The collector, where event handlers run: {problem}") from None
        if "response" not in answer:
            raise JanusError(ErrorCode.PLUGIN_NOT_FOUND, "Invalid event handler")
        return {"response": answer["response"]}

    async def record(self, envelope: Envelope, message: dict[str, Any]) -> dict[str, Any]:
        """``start_recording``, ``stop_recording``, ``list_recordings``: by ``rule``, or by the ids of the request."""
        check(RECORDING, message)
        rule = message.get("rule", "")
        if not rule and envelope.handle_id:
            rule = f"handle {envelope.handle_id}"
        elif not rule and envelope.session_id:
            rule = f"session {envelope.session_id}"
        if not rule and envelope.verb != "list_recordings":
            raise JanusError(ErrorCode.MISSING_MANDATORY_ELEMENT, "Missing mandatory element (rule)")
        try:
            return await self._tools.collector.ask(envelope.verb, {"rule": rule})
        except ConnectionError as problem:
            raise JanusError(ErrorCode.UNKNOWN, f"The collector, which records: {problem}") from None

    async def handlers(self) -> dict[str, Any]:
        """``events`` of ``info``: the handlers by package, none while the collector is away."""
        try:
            names = (await self._tools.collector.ask("list_eventhandlers", {})).get("handlers", [])
        except ConnectionError:
            return {}
        module = ModuleInfo("", "The appliance's authors", "An event handler of the collector.", "0.0.1", 1)
        return {f"{HANDLER_PACKAGE}{name}": to_builtins(module) | {"name": f"{name} handler"} for name in names}

    async def _resolve(self, message: dict[str, Any]) -> dict[str, Any]:
        check((ADDRESS,), message)
        clock = self._gateway.context.clock
        began = clock.monotonic()
        try:
            ip = await self._tools.network.resolve(message["address"][:MAX_NAME])
        except OSError as problem:
            logger.info("resolve_address: %s", problem)
            raise JanusError(ErrorCode.UNKNOWN, "Could not resolve address") from None
        return {"ip": ip, "elapsed": int((clock.monotonic() - began) * 1_000_000)}

    async def _test_stun(self, message: dict[str, Any]) -> dict[str, Any]:
        check(STUN, message)
        for name in ("port", "localport"):
            if message.get(name, 0) > 65535:
                text = f"Invalid element type ({name} should be at most 65535)"
                raise JanusError(ErrorCode.INVALID_ELEMENT_TYPE, text)
        clock = self._gateway.context.clock
        began = clock.monotonic()
        try:
            ip, port = await self._tools.network.test_stun(
                message["address"][:MAX_NAME], message["port"], message.get("localport", 0)
            )
        except OSError as problem:
            logger.info("test_stun: %s", problem)
            raise JanusError(ErrorCode.UNKNOWN, "STUN request failed") from None
        elapsed = int((clock.monotonic() - began) * 1_000_000)
        return {"public_ip": ip, "public_port": port, "elapsed": elapsed}


HANDLER_PACKAGE = "janus.eventhandler."
"""Before a handler's name where Janus's tools expect a package."""
