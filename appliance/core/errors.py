"""Why a request is refused: the codes of the Janus and Admin API and their default reasons (Janus ``apierror.h``)."""

from enum import IntEnum


class ErrorCode(IntEnum):
    """``error.code`` of a refused request. A plugin's own codes travel inside ``plugindata`` and are not these."""

    UNAUTHORIZED = 403
    UNAUTHORIZED_PLUGIN = 405
    TRANSPORT_SPECIFIC = 450
    MISSING_REQUEST = 452
    UNKNOWN_REQUEST = 453
    INVALID_JSON = 454
    INVALID_JSON_OBJECT = 455
    MISSING_MANDATORY_ELEMENT = 456
    INVALID_REQUEST_PATH = 457
    SESSION_NOT_FOUND = 458
    HANDLE_NOT_FOUND = 459
    PLUGIN_NOT_FOUND = 460
    PLUGIN_ATTACH = 461
    PLUGIN_MESSAGE = 462
    PLUGIN_DETACH = 463
    JSEP_UNKNOWN_TYPE = 464
    JSEP_INVALID_SDP = 465
    TRICKLE_INVALID_STREAM = 466
    INVALID_ELEMENT_TYPE = 467
    SESSION_CONFLICT = 468
    UNEXPECTED_ANSWER = 469
    TOKEN_NOT_FOUND = 470
    WEBRTC_STATE = 471
    NOT_ACCEPTING_SESSIONS = 472
    UNKNOWN = 490


REASONS = {
    ErrorCode.UNAUTHORIZED: "Unauthorized request (wrong or missing secret/token)",
    ErrorCode.UNAUTHORIZED_PLUGIN: "Unauthorized access to plugin (token is not allowed to)",
    ErrorCode.TRANSPORT_SPECIFIC: "Transport specific error",
    ErrorCode.MISSING_REQUEST: "Missing request",
    ErrorCode.UNKNOWN_REQUEST: "Unknown request",
    ErrorCode.INVALID_JSON: "Invalid JSON",
    ErrorCode.INVALID_JSON_OBJECT: "Invalid JSON Object",
    ErrorCode.MISSING_MANDATORY_ELEMENT: "Missing mandatory element",
    ErrorCode.INVALID_REQUEST_PATH: "Invalid path for this request",
    ErrorCode.SESSION_NOT_FOUND: "Session not found",
    ErrorCode.HANDLE_NOT_FOUND: "Handle not found",
    ErrorCode.PLUGIN_NOT_FOUND: "Plugin not found",
    ErrorCode.PLUGIN_ATTACH: "Error attaching plugin",
    ErrorCode.PLUGIN_MESSAGE: "Error sending message to plugin",
    ErrorCode.PLUGIN_DETACH: "Error detaching from plugin",
    ErrorCode.JSEP_UNKNOWN_TYPE: "Unsupported JSEP type",
    ErrorCode.JSEP_INVALID_SDP: "Invalid SDP",
    ErrorCode.TRICKLE_INVALID_STREAM: "Invalid stream",
    ErrorCode.INVALID_ELEMENT_TYPE: "Invalid element type",
    ErrorCode.SESSION_CONFLICT: "Session ID already in use",
    ErrorCode.UNEXPECTED_ANSWER: "Unexpected ANSWER (no OFFER)",
    ErrorCode.TOKEN_NOT_FOUND: "Token not found",
    ErrorCode.WEBRTC_STATE: "Wrong WebRTC state",
    ErrorCode.NOT_ACCEPTING_SESSIONS: "Currently not accepting new sessions",
    ErrorCode.UNKNOWN: "Unknown error",
}


class JanusError(Exception):
    """A refusal that the client sees; without a ``reason`` it is the code's default one."""

    def __init__(self, code: ErrorCode, reason: str | None = None) -> None:
        self.code = code
        self.reason = REASONS[code] if reason is None else reason
        super().__init__(self.reason)


def unhandled(verb: str) -> JanusError:
    """The request exists, but not for this combination of session and handle."""
    return JanusError(ErrorCode.INVALID_REQUEST_PATH, f"Unhandled request '{shown(verb)}' at this path")


def shown(text: str, limit: int = 100) -> str:
    """What a client sent, as it is repeated in a reason: cut where it is long."""
    return text if len(text) <= limit else text[:limit] + "..."
