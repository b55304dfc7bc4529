"""The Admin API: what a request means, whatever it came by. The codes, texts and replies are those of Janus 1.4.

Requests without ids are about the gateway, those with a session's, or a session's and a handle's, about these. None of
them keeps a session alive.
"""

import logging
from collections.abc import Iterable
from typing import Any

from appliance.core import admin_tokens, events
from appliance.core.admin_queries import AdminQueries
from appliance.core.admin_settings import SETTINGS, AdminSettings
from appliance.core.admin_tools import AdminTools
from appliance.core.auth import same_secret
from appliance.core.errors import ErrorCode, JanusError, shown, unhandled
from appliance.core.events import Counter
from appliance.core.gateway import Gateway
from appliance.core.handle import Handle
from appliance.core.handle_info import handle_info
from appliance.core.messages import Element, Envelope, Kind, check, error_reply, read_envelope, reply
from appliance.core.recordings import RECORDING_VERBS
from appliance.core.session import Session

logger = logging.getLogger(__name__)
api_log = logging.getLogger("appliance.admin")

HANDLE_INFO = (Element("plugin_only", Kind.BOOLEAN),)
SESSION_TIMEOUT = (Element("timeout", Kind.INTEGER, required=True),)
CAPTURE = (
    Element("folder", Kind.STRING),
    Element("filename", Kind.STRING),
    Element("truncate", Kind.POSITIVE),
)
CUSTOM_EVENT = (Element("schema", Kind.STRING, required=True), Element("data", Kind.OBJECT, required=True))
CUSTOM_LINE = (Element("line", Kind.STRING, required=True), Element("level", Kind.POSITIVE))
LOG_LEVELS = {0: 0, 1: logging.CRITICAL, 2: logging.ERROR, 3: logging.WARNING, 4: logging.INFO}
"""Janus's to Python's; what is above 4 is debugging."""
MAX_LINE = 4096
MAX_SCHEMA = 256


class AdminApi:
    """Implements :class:`appliance.core.transport.AdminApi`. Without a ``secret`` whoever asks is served.

    Whoever lets others than this machine in has to see to it that there is one.
    """

    def __init__(self, gateway: Gateway, tools: AdminTools, secret: str = "") -> None:
        self.failures = 0
        """Requests without the right secret."""
        self._gateway = gateway
        self._tools = tools
        self._secret = secret.encode()
        self._settings = AdminSettings(gateway, tools.logs)
        self._queries = AdminQueries(gateway, tools)

    async def request(self, message: object) -> dict[str, Any]:
        """Serve one request. Never raises: a refusal is a reply, and so is a bug of ours (490)."""
        envelope: Envelope | None = None
        try:
            envelope = read_envelope(message)
            assert isinstance(message, dict)
            return await self._serve(envelope, message)
        except JanusError as refusal:
            return self.refuse(refusal, envelope)
        except Exception:
            logger.exception("admin request %s failed", shown(envelope.said) if envelope else "?")
            return self.refuse(JanusError(ErrorCode.UNKNOWN), envelope)

    def refuse(self, error: JanusError, envelope: Envelope | None = None) -> dict[str, Any]:
        """The reply to a request that is refused, or to what does not even become one."""
        if envelope is None:
            return error_reply(error)
        return error_reply(error, session_id=envelope.session_id, transaction=envelope.transaction)

    def transport_event(self, transport: str, id: str, data: dict[str, Any]) -> None:
        """Publish what a transport tells."""
        self._gateway.transport_event(transport, id, data)

    def measure(self) -> Iterable[Counter]:
        """Failures."""
        yield Counter("auth_failures_total", self.failures, {"api": "admin"})

    # --- who asks for what ------------------------------------------------------------------------------------

    async def _serve(self, envelope: Envelope, message: dict[str, Any]) -> dict[str, Any]:
        about_gateway = envelope.session_id == 0 and envelope.handle_id == 0
        if about_gateway and envelope.verb == "ping":
            return reply("pong", transaction=envelope.transaction)
        if about_gateway and envelope.verb == "info":
            return self._gateway.server_info(envelope.transaction) | {"events": await self._queries.handlers()}
        if not about_gateway and envelope.session_id < 1:
            raise JanusError(ErrorCode.SESSION_NOT_FOUND)
        if self._secret and not same_secret(message.get("admin_secret"), self._secret):
            self.failures += 1
            raise JanusError(ErrorCode.UNAUTHORIZED)
        if envelope.verb in RECORDING_VERBS:
            rest = await self._queries.record(envelope, message)
            return reply("success", transaction=envelope.transaction, **rest)
        if about_gateway:
            rest = await self._about_gateway(envelope, message)
            return reply("success", transaction=envelope.transaction, **rest)
        session = self._gateway.sessions.get(envelope.session_id)
        if session is None:
            raise JanusError(ErrorCode.SESSION_NOT_FOUND, f"No such session {envelope.session_id}")
        if not envelope.handle_id:
            rest = self._about_session(envelope, message, session)
            return reply("success", session_id=session.id, transaction=envelope.transaction, **rest)
        handle = session.handles.get(envelope.handle_id)
        if handle is None:
            text = f"No such handle {envelope.handle_id} in session {session.id}"
            raise JanusError(ErrorCode.HANDLE_NOT_FOUND, text)
        return self._about_handle(envelope, message, session, handle)

    async def _about_gateway(self, envelope: Envelope, message: dict[str, Any]) -> dict[str, Any]:
        verb = envelope.verb
        if verb in SETTINGS:
            return self._settings.change(verb, message)
        if verb in admin_tokens.VERBS:
            known = frozenset(self._gateway.plugins)
            return admin_tokens.serve(self._gateway.auth.tokens, known, verb, message)
        match verb:
            case "get_status":
                return {"status": self._settings.status()}
            case "list_sessions":
                return {"sessions": list(self._gateway.sessions)}
            case "loops_info":
                handles = sum(len(session.handles) for session in self._gateway.sessions.values())
                return {"loops": [{"id": 0, "handles": handles}]}
            case "custom_event":
                return self._custom_event(message)
            case "custom_logline":
                return self._custom_logline(message)
            case _:
                found = await self._queries.serve(verb, message)
                if found is None:
                    raise unhandled(envelope.said)
                return found

    def _custom_event(self, message: dict[str, Any]) -> dict[str, Any]:
        check(CUSTOM_EVENT, message)
        if len(message["schema"]) > MAX_SCHEMA:
            text = f"Invalid element type (schema should be at most {MAX_SCHEMA} characters)"
            raise JanusError(ErrorCode.INVALID_ELEMENT_TYPE, text)
        if message["schema"] == events.VERDICT_SCHEMA:
            text = f"Invalid element type (schema should not be {events.VERDICT_SCHEMA}: verdicts are the diagnosis's)"
            raise JanusError(ErrorCode.INVALID_ELEMENT_TYPE, text)
        self._gateway.context.emit(events.External(schema=message["schema"], data=message["data"]))
        return {}

    def _custom_logline(self, message: dict[str, Any]) -> dict[str, Any]:
        check(CUSTOM_LINE, message)
        level = message.get("level", 4)
        # One line stays one line, whatever is in it.
        line = shown(message["line"].encode("unicode_escape").decode(), MAX_LINE)
        if level != 0:
            api_log.log(LOG_LEVELS.get(level if level <= 7 else 4, logging.DEBUG), "%s", line)
        return {}

    # --- sessions and handles ---------------------------------------------------------------------------------

    def _about_session(self, envelope: Envelope, message: dict[str, Any], session: Session) -> dict[str, Any]:
        match envelope.verb:
            case "list_handles":
                return {"handles": list(session.handles)}
            case "destroy_session":
                self._gateway.destroy_session(session.id)
                return {}
            case "set_session_timeout":
                check(SESSION_TIMEOUT, message)
                timeout = message["timeout"]
                if not -1 <= timeout <= 2**31:
                    text = "Invalid element type (timeout should be a non-negative integer or -1)"
                    raise JanusError(ErrorCode.INVALID_ELEMENT_TYPE, text)
                session.timeout_s = None if timeout == -1 else float(timeout)
                return {"timeout": timeout}
            case _:
                raise unhandled(envelope.said)

    def _about_handle(
        self, envelope: Envelope, message: dict[str, Any], session: Session, handle: Handle
    ) -> dict[str, Any]:
        transaction = envelope.transaction
        match envelope.verb:
            case "handle_info":
                check(HANDLE_INFO, message)
                info = handle_info(self._gateway, session, handle, plugin_only=message.get("plugin_only", False))
                rest = {"handle_id": handle.handle_id, "info": info}
                return reply("success", session_id=session.id, transaction=transaction, **rest)
            case "hangup_webrtc":
                handle.hangup("Admin API")
            case "detach_handle":
                del session.handles[handle.handle_id]
                handle.release(tell=True)
            case "start_pcap" | "start_text2pcap":
                self._start_capture(message, handle, text=envelope.verb == "start_text2pcap")
                return reply("success", transaction=transaction)
            case "stop_pcap" | "stop_text2pcap":
                if not handle.packets.stop_capture():
                    raise JanusError(ErrorCode.UNKNOWN, "Capture not started")
                return reply("success", transaction=transaction)
            case _:
                raise unhandled(envelope.said)
        return reply("success", session_id=session.id, transaction=transaction)

    def _start_capture(self, message: dict[str, Any], handle: Handle, *, text: bool) -> None:
        check(CAPTURE, message)
        kind = "text2pcap" if text else "pcap"
        running_now = handle.packets.capture
        if running_now is not None:
            running = "text2pcap" if running_now.text else "pcap"
            raise JanusError(ErrorCode.UNKNOWN, f"{running} already started")
        try:
            capture = self._tools.captures.start(
                text=text,
                folder=message.get("folder", ""),
                filename=message.get("filename", ""),
                truncate=message.get("truncate", 0),
                about=f"[session={handle.session_id}][handle={handle.handle_id}]",
            )
        except (OSError, ValueError) as problem:
            logger.warning("a capture was asked for that can't be: %s", problem)
            text_of_error = f"Error starting {kind} dump"
            raise JanusError(ErrorCode.UNKNOWN, text_of_error) from None
        handle.packets.start_capture(capture)
