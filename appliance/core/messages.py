"""Requests of the Janus API as they are read and checked: JSON, envelope, elements, trickled candidates. No I/O.

The texts are Janus's, because clients and their tests compare them.
"""

import re
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Any

import msgspec
from msgspec import Struct

from appliance.core.errors import ErrorCode, JanusError, shown
from appliance.core.events import MediaState

MAX_ID = 2**53 - 1
"""Ids are exact in JavaScript, whose numbers are doubles."""
_MAX_LAYERED = 64
"""M-lines of a description that its ``svc`` is read of."""
MAX_DEPTH = 32
"""Of nested arrays and objects; no request of any plugin comes near."""


class JsonError(ValueError):
    """The text is no JSON; ``line`` and ``column`` count from 1."""

    def __init__(self, line: int, column: int, detail: str) -> None:
        super().__init__(f"on line {line}: {detail}")
        self.line = line
        self.column = column
        self.detail = detail


_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""Written as an escape; unescaped, it is no JSON anyhow."""
_MANY_DIGITS = re.compile(rb"[0-9]{19}")
_FIRST_TOKEN = re.compile(r"\s*([A-Za-z]+|-?[0-9][0-9.eE+-]*|\"[^\"]{0,30}\"?|\S)?")


def parse(data: bytes | str, max_depth: int = MAX_DEPTH) -> Any:
    """Read JSON text whose outermost value is an array or object. :raises JsonError: it is not that."""
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    head = raw[:64].lstrip(b" \t\r\n")
    if not head.startswith((b"{", b"[")) and (head or len(raw) <= 64):
        text = raw[:64].decode("utf-8", "replace")
        token = _FIRST_TOKEN.match(text)
        near = token[1] if token is not None and token[1] else ""
        line = text[: token.end() if token else 0].count("\n") + 1
        where = f"near '{near}'" if near else "near end of file"
        raise JsonError(line, token.end() if token else 0, f"'[' or '{{' expected {where}")
    # Neither Janus nor every database takes it, and no request needs it.
    if b"\\u0000" in raw and (nul := _NUL.search(raw)) is not None:
        before = raw[: nul.start()]
        raise JsonError(before.count(b"\n") + 1, len(before) - before.rfind(b"\n"), "\\u0000 is not allowed")
    try:
        value = msgspec.json.decode(raw)
    except RecursionError:
        raise JsonError(1, 1, "maximum parsing depth reached") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        detail = str(error).removeprefix("JSON is malformed: ")
        at = re.search(r"byte (\d+)", detail)
        before = raw[: int(at[1])] if at else raw
        raise JsonError(before.count(b"\n") + 1, len(before) - before.rfind(b"\n"), detail) from None
    if not is_shallow(value, max_depth):
        raise JsonError(1, 1, f"maximum parsing depth reached ({max_depth})")
    if _MANY_DIGITS.search(raw) and _has_big(value):
        raise JsonError(1, 1, "too big integer")
    return value


def _has_big(value: object) -> bool:
    """Whether there is an integer of more than 64 bits, which no field of a packet or column of a database has."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict | list):
            waiting.extend(each.values() if isinstance(each, dict) else each)
        elif isinstance(each, int) and not -(2**63) <= each < 2**63:
            return True
    return False


def is_shallow(value: object, max_depth: int) -> bool:
    """Whether arrays and objects nest no deeper than ``max_depth``."""
    level = [value]
    for _ in range(max_depth + 1):
        inner: list[object] = []
        for each in level:
            if isinstance(each, dict):
                inner.extend(child for child in each.values() if isinstance(child, dict | list))
            elif isinstance(each, list):
                inner.extend(child for child in each if isinstance(child, dict | list))
        if not inner:
            return True
        level = inner
    return False


class Kind(Enum):
    """What an element must be; the value is how a refusal calls it."""

    STRING = "a string"
    INTEGER = "an integer"
    POSITIVE = "a positive integer"
    """0 is allowed, whatever the text says: so it is in Janus."""
    BOOLEAN = "a boolean"
    OBJECT = "an object"
    ARRAY = "an array"

    def holds(self, value: object) -> bool:
        """Whether a value is of this kind. JSON ``true`` is no integer, and ``null`` is nothing at all."""
        match self:
            case Kind.STRING:
                return isinstance(value, str)
            case Kind.INTEGER:
                return isinstance(value, int) and not isinstance(value, bool)
            case Kind.POSITIVE:
                return isinstance(value, int) and not isinstance(value, bool) and value >= 0
            case Kind.BOOLEAN:
                return isinstance(value, bool)
            case Kind.OBJECT:
                return isinstance(value, dict)
            case Kind.ARRAY:
                return isinstance(value, list)


class Element(Struct, frozen=True):
    """One element of a request and what it must be."""

    name: str
    kind: Kind
    required: bool = False


class Problem(Struct, frozen=True):
    """The first element that is missing (``wanted`` is ``None``) or of the wrong kind."""

    name: str
    wanted: Kind | None

    @property
    def text(self) -> str:
        """As core and plugins word it."""
        if self.wanted is None:
            return f"Missing mandatory element ({self.name})"
        return f"Invalid element type ({self.name} should be {self.wanted.value})"


def find_problem(elements: Sequence[Element], message: dict[str, Any]) -> Problem | None:
    """Look at every element, in order; ``None`` when all is well. Elements that nobody named are ignored."""
    for element in elements:
        if element.name not in message:
            if element.required:
                return Problem(element.name, None)
        elif not element.kind.holds(message[element.name]):
            return Problem(element.name, element.kind)
    return None


def check(elements: Sequence[Element], message: dict[str, Any]) -> None:
    """Refuse a request whose elements are not as they must be. :raises JanusError: 456 or 467."""
    problem = find_problem(elements, message)
    if problem is not None:
        missing = problem.wanted is None
        code = ErrorCode.MISSING_MANDATORY_ELEMENT if missing else ErrorCode.INVALID_ELEMENT_TYPE
        raise JanusError(code, problem.text)


ROOT = (
    Element("transaction", Kind.STRING, required=True),
    Element("janus", Kind.STRING, required=True),
    Element("id", Kind.POSITIVE),
)
ATTACH = (
    Element("plugin", Kind.STRING, required=True),
    Element("opaque_id", Kind.STRING),
    Element("loop_index", Kind.POSITIVE),
)
MESSAGE = (Element("body", Kind.OBJECT, required=True),)
JSEP = (
    Element("type", Kind.STRING, required=True),
    Element("sdp", Kind.STRING, required=True),
    Element("trickle", Kind.BOOLEAN),
    Element("rid_order", Kind.STRING),
    Element("force_relay", Kind.BOOLEAN),
    Element("e2ee", Kind.BOOLEAN),
)


class Envelope(Struct, frozen=True, kw_only=True):
    """The root of a request. An id that is absent, ``null`` or no integer is 0."""

    verb: str
    """Lower case."""
    said: str
    """The verb as the client wrote it."""
    transaction: str
    session_id: int = 0
    handle_id: int = 0
    names_handle: bool = False
    """The request has a ``handle_id``, however bad it is."""
    apisecret: str | None = None
    token: str | None = None


def read_envelope(message: object) -> Envelope:
    """Read the root of a request. :raises JanusError: it is no object (455), or lacks what every request has."""
    if not isinstance(message, dict):
        raise JanusError(ErrorCode.INVALID_JSON_OBJECT, "JSON error: not an object")
    check(ROOT, message)
    apisecret, token = message.get("apisecret"), message.get("token")
    return Envelope(
        verb=message["janus"].lower(),
        said=message["janus"],
        transaction=message["transaction"],
        session_id=_id(message.get("session_id")),
        handle_id=_id(message.get("handle_id")),
        names_handle=message.get("handle_id") is not None,
        apisecret=apisecret if isinstance(apisecret, str) else None,
        token=token if isinstance(token, str) else None,
    )


def _id(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63 else 0


class RemoteJsep(Struct, frozen=True):
    """A client's description; ``trickle`` false says that every candidate is in it."""

    type: str
    sdp: str
    trickle: bool = True
    e2ee: bool = False
    rid_order: str = "hml"
    """Simulcast is listed from the highest (``hml``) or the lowest (``lmh``)."""
    svc: frozenset[str | int] = frozenset()
    """M-lines sent in layers, by mid or by index."""


def read_jsep(jsep: object, max_sdp_bytes: int) -> RemoteJsep:
    """Read ``jsep`` of a message. :raises JanusError: 455, 456, 464, 465 or 467."""
    if not isinstance(jsep, dict):
        raise JanusError(ErrorCode.INVALID_JSON_OBJECT, "Invalid jsep object")
    problem = find_problem(JSEP, jsep)
    if problem is not None:
        if problem.wanted is None:
            text = f"JSEP error: missing mandatory element ({problem.name})"
            raise JanusError(ErrorCode.MISSING_MANDATORY_ELEMENT, text)
        text = f"JSEP error: invalid element type ({problem.name} should be {problem.wanted.value})"
        raise JanusError(ErrorCode.INVALID_ELEMENT_TYPE, text)
    kind = jsep["type"].lower()
    if kind not in {"offer", "answer"}:
        text = f"JSEP error: unknown message type '{shown(jsep['type'])}'"
        raise JanusError(ErrorCode.JSEP_UNKNOWN_TYPE, text)
    sdp: str = jsep["sdp"]
    if len(sdp) > max_sdp_bytes:
        text = f"SDP of {len(sdp)} characters, at most {max_sdp_bytes} are read"
        raise JanusError(ErrorCode.JSEP_INVALID_SDP, text)
    # RFC 8866 section 5.1: the first line, and version 0 is the only one. The rest is the engine's to judge.
    first = sdp.lstrip().split("\n", 1)[0].rstrip()
    if not first.startswith("v="):
        raise JanusError(ErrorCode.JSEP_INVALID_SDP, "Invalid SDP (doesn't start with v=)")
    if first != "v=0":
        raise JanusError(ErrorCode.JSEP_INVALID_SDP, f"Invalid v= line: {shown(first)}")
    return RemoteJsep(
        kind,
        sdp,
        jsep.get("trickle", True),
        jsep.get("e2ee", False),
        jsep.get("rid_order", "hml"),
        frozenset(_layered(jsep.get("svc"))),
    )


def _layered(told: object) -> Iterator[str | int]:
    """What a description's ``svc`` names, ``[{"mid": "1", "svc": "L3T3"}]``; Janus ignores what it can't read of it."""
    for item in told[:_MAX_LAYERED] if isinstance(told, list) else ():
        if not isinstance(item, dict) or not isinstance(item.get("svc"), str):
            continue
        name = item.get("mid", item.get("mindex"))
        if isinstance(name, str | int):
            yield name


class Candidate(Struct, frozen=True):
    """A trickled candidate and the m-line it says it is for."""

    candidate: str
    mid: str | None
    mindex: int | None


def read_candidate(item: object) -> Candidate | None:
    """Read one trickled candidate; ``None`` is the end of them: no object, or one that has ``completed``.

    :raises JanusError: 456 or 467.
    """
    if not isinstance(item, dict) or "completed" in item:
        return None
    mid, mindex = item.get("sdpMid"), item.get("sdpMLineIndex")
    if mid is not None and not isinstance(mid, str):
        raise _bad_candidate("sdpMid should be a string")
    if mindex is not None and not Kind.POSITIVE.holds(mindex):
        raise _bad_candidate("sdpMLineIndex should be a positive integer")
    if mid is None and mindex is None:
        text = "Trickle error: missing mandatory element (sdpMid or sdpMLineIndex)"
        raise JanusError(ErrorCode.MISSING_MANDATORY_ELEMENT, text)
    if "candidate" not in item:
        text = "Trickle error: missing mandatory element (candidate)"
        raise JanusError(ErrorCode.MISSING_MANDATORY_ELEMENT, text)
    if not isinstance(item["candidate"], str):
        raise _bad_candidate("candidate should be a string")
    return Candidate(item["candidate"], mid, mindex)


def _bad_candidate(what: str) -> JanusError:
    return JanusError(ErrorCode.INVALID_ELEMENT_TYPE, f"Trickle error: invalid element type ({what})")


def read_trickle(message: dict[str, Any]) -> tuple[list[Any], bool]:
    """The candidates of a ``trickle`` request, unread, and whether it is an array of them.

    :raises JanusError: there is neither ``candidate`` nor ``candidates``, or both, or the latter is no array.
    """
    one, many = "candidate" in message, "candidates" in message
    if not one and not many:
        raise JanusError(ErrorCode.MISSING_MANDATORY_ELEMENT, "Missing mandatory element (candidate|candidates)")
    if one and many:
        raise JanusError(ErrorCode.INVALID_JSON, "Can't have both candidate and candidates")
    if one:
        return [message["candidate"]], False
    candidates = message["candidates"]
    if not isinstance(candidates, list):
        raise JanusError(ErrorCode.INVALID_ELEMENT_TYPE, "candidates is not an array")
    return candidates, True


def reply(janus: str, *, session_id: int = 0, transaction: str | None = None, **rest: Any) -> dict[str, Any]:
    """An answer, its keys in Janus's order."""
    message: dict[str, Any] = {"janus": janus}
    if session_id:
        message["session_id"] = session_id
    if transaction is not None:
        message["transaction"] = transaction
    return message | rest


def error_reply(error: JanusError, *, session_id: int = 0, transaction: str | None = None) -> dict[str, Any]:
    """The answer to a refused request."""
    detail = {"code": int(error.code), "reason": error.reason}
    return reply("error", session_id=session_id, transaction=transaction, error=detail)


def media_state(body: MediaState) -> dict[str, Any]:
    """What a ``media`` notification says."""
    said: dict[str, Any] = {} if body.mid is None else {"mid": body.mid}
    said["type"] = body.media
    if body.substream is not None:
        said["substream"] = body.substream
    said["receiving"] = body.receiving
    if body.seconds is not None:
        said["seconds"] = body.seconds
    return said
