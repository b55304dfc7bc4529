"""The bodies of HTTP/1.1 messages in one direction of a connection, and the messages of a WebSocket it turns into."""

import re
import zlib
from collections.abc import Iterator
from typing import NamedTuple

MAX_HEAD = 64 * 1024
MAX_MESSAGE = 8 * 2**20
_START = re.compile(rb"(?:(GET|POST|OPTIONS|DELETE|PUT|HEAD) (\S+) HTTP/1\.[01]|HTTP/1\.[01] (\d{3}))[^\r\n]*\r\n")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,10})\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r\n]*chunked", re.IGNORECASE)
_ENCODED = re.compile(rb"\r\ncontent-encoding:[ \t]*(?:x-)?(?:gzip|deflate)[ \t]*\r\n", re.IGNORECASE)
_DEFLATE = re.compile(rb"\r\nsec-websocket-extensions:[^\r\n]*permessage-deflate([^\r\n]*)", re.IGNORECASE)
_UPGRADE = re.compile(rb"\r\nupgrade:[ \t]*websocket[ \t]*\r\n", re.IGNORECASE)
_OPCODES = frozenset({0, 1, 2, 8, 9, 10})
_STATUS_WITHOUT_BODY = {b"204", b"304"}


class Message(NamedTuple):
    """A body, with the path of the request it came in; empty for answers and WebSocket messages."""

    path: str
    body: bytes


class Reader:
    """Incremental; what is no HTTP and no WebSocket is passed over until something is."""

    __slots__ = (
        "_buffer",
        "_fragments",
        "_inflate",
        "_is_headless",
        "_size",
        "_squeezed",
        "dropped",
        "has_read",
        "is_websocket",
        "upgraded",
    )

    def __init__(self) -> None:
        self._buffer = b""
        self._fragments: list[bytes] = []
        self._size = 0
        self._squeezed = False
        self._inflate: zlib._Decompress | None = None
        self.is_websocket = False
        self.has_read = False
        """Something was whole and as it should be, so that it is HTTP or WebSocket for good."""
        self._is_headless = False
        self.upgraded: bytes | None = None
        """The head of a 101 answer, for the reader of the other direction too."""
        self.dropped = 0
        """Messages that were too long, or no longer readable."""

    def switch(self, head: bytes) -> None:
        """What follows in this direction is WebSocket, as the 101 answer says."""
        self.is_websocket = True
        agreed = _DEFLATE.search(head)
        if agreed is not None:
            self._inflate = zlib.decompressobj(-15)

    def feed(self, data: bytes, *, is_cut: bool = False) -> Iterator[Message]:
        """Every message that is whole now. ``is_cut``: the last bytes are zeros, because they were not captured."""
        self._buffer += data
        if len(self._buffer) > MAX_MESSAGE + MAX_HEAD:
            self.dropped += 1
            self._buffer = b""
        while self._buffer:
            before = len(self._buffer)
            found = self._frame() if self.is_websocket else self._message()
            if found is not None:
                self.has_read = True
                yield found
            if len(self._buffer) == before:
                break
        if is_cut and not self.is_websocket and b"\r\n\r\n" not in self._buffer:
            # The end of this head is not in the capture; what comes next begins anew.
            self._buffer = b""
            self._is_headless = True

    def _message(self) -> Message | None:
        data = self._buffer
        start = _START.match(data)
        if start is None:
            if len(data) > 2 and data[0] in {0x81, 0xC1}:
                self.is_websocket = True
                return None
            if self._is_headless and data[:2] in {b'{"', b"[{", b"{ "}:
                # A head that was cut is often followed by its body in a packet of its own.
                self._buffer, self._is_headless = b"", False
                return Message("", data)
            # A connection that was open before the capture, or a body whose head was lost: seek the next head.
            later = _START.search(data)
            self._buffer = data[later.start() :] if later is not None else data[-16:] if len(data) > MAX_HEAD else data
            return None
        end = data.find(b"\r\n\r\n")
        if end < 0:
            if len(data) > MAX_HEAD:
                self.dropped += 1
                self._buffer = b""
            return None
        head, offset = data[: end + 2], end + 4
        path = (start[2] or b"").decode("latin-1")
        if start[3] == b"101" and _UPGRADE.search(head):
            self.upgraded = head
            self._buffer = data[offset:]
            self.switch(head)
            return None
        is_encoded = _ENCODED.search(head) is not None
        if _CHUNKED.search(head):
            return self._chunked(path, offset, is_encoded=is_encoded)
        length = _LENGTH.search(head)
        size = int(length[1]) if length is not None and start[3] not in _STATUS_WITHOUT_BODY else 0
        if size > MAX_MESSAGE:
            self.dropped += 1
            self._buffer = b""
            return None
        if len(data) < offset + size:
            return None
        self._buffer = data[offset + size :]
        return self._whole(path, data[offset : offset + size], is_encoded=is_encoded)

    def _whole(self, path: str, body: bytes, *, is_encoded: bool) -> Message | None:
        if not is_encoded or not body:
            return Message(path, body)
        try:
            # 32: gzip or zlib, whichever it is.
            return Message(path, zlib.decompressobj(32 + zlib.MAX_WBITS).decompress(body, MAX_MESSAGE))
        except zlib.error:
            self.dropped += 1
            return None

    def _chunked(self, path: str, offset: int, *, is_encoded: bool) -> Message | None:
        data, parts = self._buffer, []
        while True:
            line = data.find(b"\r\n", offset)
            if line < 0:
                return None
            try:
                size = int(data[offset:line].split(b";")[0], 16)
            except ValueError:
                self.dropped += 1
                self._buffer = data[line:]
                return None
            offset = line + 2
            if len(data) < offset + size + 2:
                return None
            parts.append(data[offset : offset + size])
            offset += size + 2
            if size == 0:
                self._buffer = data[offset:]
                return self._whole(path, b"".join(parts), is_encoded=is_encoded)

    def _frame(self) -> Message | None:
        data = self._buffer
        if data[0] & 0x30 or data[0] & 0x0F not in _OPCODES:
            # The capture has lost where this frame began: one does where a segment does, mostly.
            self.dropped += 1
            self._buffer = b""
            return None
        if len(data) < 2:
            return None
        size, offset = data[1] & 0x7F, 2
        if size >= 126:
            width = 2 if size == 126 else 8
            if len(data) < 2 + width:
                return None
            size, offset = int.from_bytes(data[2 : 2 + width], "big"), 2 + width
        mask = b""
        if data[1] & 0x80:
            mask, offset = data[offset : offset + 4], offset + 4
        if size > MAX_MESSAGE:
            self.dropped += 1
            self._buffer = b""
            return None
        if len(data) < offset + size:
            return None
        content = data[offset : offset + size]
        self._buffer = data[offset + size :]
        opcode = data[0] & 0x0F
        if opcode > 2:
            return None
        if mask and size:
            key = (mask * (size // 4 + 1))[:size]
            content = (int.from_bytes(content, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")
        if opcode:
            self._fragments, self._size = [], 0
            self._squeezed = bool(data[0] & 0x40)
        self._size += size
        if self._size <= MAX_MESSAGE:
            self._fragments.append(content)
        if not data[0] & 0x80:
            return None
        whole = b"".join(self._fragments)
        self._fragments = []
        if self._squeezed:
            return self._inflated(whole)
        return Message("", whole)

    def _inflated(self, whole: bytes) -> Message | None:
        if self._inflate is None:
            self._inflate = zlib.decompressobj(-15)
        try:
            found = self._inflate.decompress(whole + b"\0\0\xff\xff", MAX_MESSAGE)
        except zlib.error:
            self._inflate = None
            self.dropped += 1
            return None
        if self._inflate.eof:
            # Some end the stream with each message.
            self._inflate = None
        return Message("", found)
