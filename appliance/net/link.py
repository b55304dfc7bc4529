"""The link between gateway and collector: addresses, frames and messages. Bytes in, values out; no I/O.

A frame is a 4-byte big-endian length and that many bytes of msgpack, one message. A malformed message leaves the
framing intact and the next one is read; a length beyond the limit means that the framing is lost.
"""

import hashlib
import os
import stat
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

VERSION = 1
MAX_FRAME = 8 * 2**20
MAX_HELLO = 2**14
"""Of a frame as long as nobody knows who sends it."""
MAX_SOCKET_PATH = 100
"""Bytes; ``sun_path`` holds 108 on Linux and 104 elsewhere, with its terminator."""
SOCKET_NAME = "link.sock"

Sequence = Annotated[int, Meta(ge=0, lt=2**53)]
"""A sequence number: no gateway lives for as many events, and what comes after it can still be told."""
Name = Annotated[str, Meta(max_length=1000)]
"""Remembered longer than a connection lasts."""

_LENGTH = struct.Struct(">I")


class LinkError(ValueError):
    """The peer's bytes or a configured address are wrong; the message says what came and what was wanted."""


class FramingError(LinkError):
    """Where the next frame begins is unknown: the connection is of no more use."""


# --- messages ------------------------------------------------------------------------------------------------


class _Message(Struct, frozen=True, kw_only=True, tag_field="kind", tag=str.lower):
    """One frame."""


class Hello(_Message, frozen=True, kw_only=True):
    """The gateway's first frame."""

    v: int
    boot: Name
    """Changes with every start of the gateway; sequence numbers count within it."""
    server: Name
    token: str = ""


class Welcome(_Message, frozen=True, kw_only=True):
    """The collector's first frame."""

    v: int
    next: int | None = None
    """The sequence number wanted next; ``None`` when this collector has never heard of this boot."""
    error: str = ""
    """Why it will not take events; the connection ends."""


class Events(_Message, frozen=True, kw_only=True):
    """Events in order, each one msgpack of its own, so that a malformed one harms no other."""

    seq: Sequence
    """Of the first; the others follow."""
    events: list[bytes]


class Replay(_Message, frozen=True, kw_only=True):
    """Old events by which a collector that has just started knows the calls that are up; sent before any new one."""

    events: list[bytes]


class Ack(_Message, frozen=True, kw_only=True):
    """How far the collector is; the same again says that it lives, and wants no more yet."""

    next: int
    """Everything before it is taken: handed on, and wanted no more while this collector lives."""
    kept: int | None = None
    """Everything before it is kept where a crash does not lose it; ``None``: all that is taken."""


class Request(_Message, frozen=True, kw_only=True):
    """A question or command, either way."""

    id: int
    verb: str
    args: dict[str, Any] = {}


class Response(_Message, frozen=True, kw_only=True):
    """The answer to the request of the same id."""

    id: int
    ok: bool
    result: dict[str, Any] = {}
    error: str = ""


Message = Hello | Welcome | Events | Replay | Ack | Request | Response

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def pack(message: Message) -> bytes:
    """The frame of a message. :raises LinkError: it is larger than a frame may be, or holds what msgpack can't."""
    try:
        body = _encoder.encode(message)
    except (TypeError, OverflowError, RecursionError) as error:
        raise LinkError(f"{type(message).__name__.lower()}: {error}") from None
    if len(body) > MAX_FRAME:
        raise LinkError(f"{type(message).__name__.lower()}: {len(body)} bytes, wanted at most {MAX_FRAME}")
    return _LENGTH.pack(len(body)) + body


def unpack(body: bytes) -> Message:
    """The message of a frame's body. :raises LinkError: it is none that this version knows."""
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise LinkError(f"frame of {len(body)} bytes: {error}") from None


class FrameDecoder:
    """Cuts a stream of bytes, however it arrives, into the bodies of its frames."""

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        self.max_frame = max_frame
        """May change between two frames."""
        self._buffer = bytearray()

    def __len__(self) -> int:
        """Bytes that wait for the rest of their frame."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take what came and yield each body that is complete. Read it to its end before feeding again.

        :raises FramingError: a length is beyond the limit.
        """
        self._buffer += data
        start = 0
        try:
            while len(self._buffer) - start >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(self._buffer, start)
                if length > self.max_frame:
                    raise FramingError(f"frame length: {length} bytes came, wanted at most {self.max_frame}")
                end = start + _LENGTH.size + length
                if len(self._buffer) < end:
                    break
                body = bytes(memoryview(self._buffer)[start + _LENGTH.size : end])
                start = end
                yield body
        finally:
            del self._buffer[:start]


# --- addresses -----------------------------------------------------------------------------------------------


class UnixAddress(Struct, frozen=True):
    """A socket in the file system."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


class TcpAddress(Struct, frozen=True):
    """A host and port."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp://{host}:{self.port}"


Address = UnixAddress | TcpAddress


def parse_address(text: str) -> Address:
    """Read ``unix:/path`` or ``tcp://host:port``. :raises LinkError: it is neither."""
    wanted = "wanted unix:/path or tcp://host:port"
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if path.startswith("//"):
            path = path[2:]
        if not path.startswith("/"):
            raise LinkError(f"link address {text!r}: the path is not absolute; {wanted}")
        if len(os.fsencode(path)) > MAX_SOCKET_PATH:
            raise LinkError(f"link address {text!r}: the path is longer than {MAX_SOCKET_PATH} bytes")
        return UnixAddress(path)
    if text.startswith("tcp://"):
        host, colon, port = text.removeprefix("tcp://").rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if colon and host and port.isascii() and port.isdigit() and int(port) <= 65535:
            return TcpAddress(host, int(port))
    raise LinkError(f"link address {text!r}: {wanted}")


def socket_path(data_dir: Path) -> Path:
    """Where the collector of this data directory listens, on a path short enough for a socket.

    In the directory itself, or else in one of this user's own under the system's temporary one, which is made if
    need be.

    :raises LinkError: the one in the temporary directory is not this user's alone.
    """
    folder = data_dir.absolute()
    inside = folder / SOCKET_NAME
    if len(os.fsencode(inside)) <= MAX_SOCKET_PATH:
        return inside
    private = Path(tempfile.gettempdir()) / f"appliance-{os.getuid()}"
    private.mkdir(mode=0o700, exist_ok=True)
    # Another user may have made it first, to read our events or to give our gateway commands.
    found = private.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise LinkError(f"{private}: not a directory of this user alone (mode 0700); remove it or set server.link")
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return private / f"{name}.sock"
