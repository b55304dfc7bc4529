"""Signalling of a recorded call as another client, server or proxy would have sent it: the same call comes of it."""

import gzip
import random
import struct
import zlib
from collections.abc import Callable, Iterator

import pytest

from appliance.intake.pcap.http import Message, Reader
from appliance.intake.pcap.reader import CaptureReader
from tests.intake.test_replay import explained, raw
from tests.intake.wrapped import FILE_HEAD, Address, Connections, packets, record

CASE = "chrome_echo_http"
SERVER = 8088
Told = tuple[bytes, Address, Address, Message, bool]
"""When, from whom, to whom, what, and whether it is a request."""


def told() -> Iterator[Told]:
    """The messages of the recorded call, in order."""
    readers: dict[tuple[Address, Address], Reader] = {}
    for packet in packets(raw(CASE)):
        if packet.payload or packet.raw[9] != 6:
            continue
        offset = 20 + 4 * (packet.raw[20 + 12] >> 4)
        payload = packet.raw[offset : int.from_bytes(packet.raw[2:4], "big")]
        reader = readers.setdefault((packet.source, packet.destination), Reader())
        for message in reader.feed(payload):
            yield packet.head, packet.source, packet.destination, message, packet.destination[1] == SERVER


def request(message: Message) -> bytes:
    head = f"POST {message.path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(message.body)}\r\n\r\n"
    return head.encode() + message.body


def answer(message: Message) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(message.body)}\r\n\r\n".encode() + message.body


def plain(message: Message, is_request: bool) -> bytes:
    return request(message) if is_request else answer(message)


def chunked(message: Message, is_request: bool) -> bytes:
    head = f"POST {message.path} HTTP/1.1\r\n" if is_request else "HTTP/1.1 200 OK\r\n"
    body = message.body
    parts = [body[at : at + 333] for at in range(0, len(body), 333)]
    text = b"".join(b"%X;a=b\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\nX-Trailer: 1\r\n\r\n"
    return head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + text


def zipped(message: Message, is_request: bool) -> bytes:
    if is_request:
        return request(message)
    body = gzip.compress(message.body)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def zipped_in_chunks(message: Message, is_request: bool) -> bytes:
    if is_request:
        return request(message)
    body = zlib.compress(message.body)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: deflate\r\n\r\n"
    return head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


def sent(items: Iterator[tuple[bytes, Address, Address, bytes]], cut_at: int = 1_000) -> bytes:
    """The capture, with this in the place of its signalling."""
    connections = Connections()
    out = [record(packet.head, packet.raw) for packet in packets(raw(CASE)) if packet.payload]
    for head, source, destination, data in items:
        for at in range(0, len(data), cut_at):
            out.append(record(head, connections.segment(source, destination, data[at : at + cut_at])))
    out.sort(key=lambda one: struct.unpack_from("<II", one))
    return FILE_HEAD + b"".join(out)


def same(changed: bytes) -> CaptureReader:
    reader = CaptureReader("x")
    (call,) = explained(reader.read(changed))
    (before,) = explained(CaptureReader("x").read(raw(CASE)))
    assert (call.verdict.code, call.verdict.also) == (before.verdict.code, before.verdict.also) == ("ended_by_app", ())
    assert [one.sdp for one in call.descriptions] == [one.sdp for one in before.descriptions]
    assert len(call.tracks) == len(before.tracks)
    return reader


@pytest.mark.parametrize("write", [plain, chunked, zipped, zipped_in_chunks])
def test_http_in_other_words(write: Callable[[Message, bool], bytes]) -> None:
    same(sent((head, one, other, write(message, asked)) for head, one, other, message, asked in told()))


def test_a_proxy_in_between_shows_every_message_twice() -> None:
    proxy = ("192.0.2.80", 40_000)

    def twice() -> Iterator[tuple[bytes, Address, Address, bytes]]:
        for head, one, other, message, asked in told():
            data = plain(message, asked)
            client, server = (one, other) if asked else (other, one)
            inner = proxy[0], client[1]
            outer = proxy[0], 443
            if asked:
                yield head, client, outer, data
                yield head, inner, server, data
            else:
                yield head, server, inner, data
                yield head, outer, client, data

    same(sent(twice()))


def frame(payload: bytes, first: int, mask: bytes) -> bytes:
    size = len(payload)
    bit = 0x80 if mask else 0
    length = bytes([bit | size]) if size < 126 else bytes([bit | 126]) + struct.pack("!H", size)
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload)) if mask else payload
    return bytes([first]) + length + mask + masked


class Socket:
    """One direction of a WebSocket; a message in fragments, with a ping between them."""

    def __init__(self, mask: bytes, deflate: str | None) -> None:
        self._mask = mask
        self._deflate = deflate
        self._squeeze = zlib.compressobj(wbits=-15)

    def write(self, body: bytes) -> bytes:
        first = 0x01
        if self._deflate is not None:
            first |= 0x40
            body = self._squeezed(body)
        third = len(body) // 3 + 1
        parts = [body[at : at + third] for at in range(0, len(body), third)]
        ping = frame(b"ping", 0x89, self._mask)
        last = len(parts) - 1
        frames = [frame(part, (first if at == 0 else 0) | (0x80 if at == last else 0), self._mask)
                  for at, part in enumerate(parts)]  # fmt: skip
        return ping.join(frames)

    def _squeezed(self, body: bytes) -> bytes:
        if self._deflate == "with an end":
            whole = zlib.compressobj(wbits=-15)
            return whole.compress(body) + whole.flush() + b"\0"
        if self._deflate == "without takeover":
            self._squeeze = zlib.compressobj(wbits=-15)
        return (self._squeeze.compress(body) + self._squeeze.flush(zlib.Z_SYNC_FLUSH))[:-4]


@pytest.mark.parametrize("deflate", [None, "with takeover", "without takeover", "with an end"])
def test_the_same_over_websocket(deflate: str | None) -> None:
    client, server = ("192.0.2.8", 40_000), ("192.0.2.9", 8188)

    def messages() -> Iterator[tuple[bytes, Address, Address, bytes]]:
        extension = "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=15\r\n" if deflate else ""
        ask = f"GET / HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: janus-protocol\r\n{extension}\r\n"
        agree = f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n{extension}\r\n"
        up, down = Socket(b"\x11\x22\x33\x44", deflate), Socket(b"", deflate)
        items = [item for item in told() if item[3].body]
        yield items[0][0], client, server, ask.encode()
        yield items[0][0], server, client, agree.encode()
        for head, _, _, message, asked in items:
            body = message.body
            if asked:
                body = with_ids(message)
                yield head, client, server, up.write(body)
            else:
                yield head, server, client, down.write(body)

    same(sent(messages()))


def with_ids(message: Message) -> bytes:
    """Over WebSocket they stand in the message, not in a path."""
    ids = [int(part) for part in message.path.split("?")[0].split("/") if part.isdigit()]
    names = ("session_id", "handle_id")
    more = b"".join(b'"%b":%d,' % (name.encode(), number) for name, number in zip(names, ids, strict=False))
    return b"{" + more + message.body.lstrip()[1:]


@pytest.mark.parametrize("seed", range(20))
def test_what_is_no_frame_is_passed_over(seed: int) -> None:
    numbers, reader = random.Random(seed), Reader()
    reader.switch(b"")
    for _ in range(300):
        list(reader.feed(numbers.randbytes(numbers.randrange(1, 90))))
    good = frame(b'{"janus":"ack"}', 0x81, b"")
    heard: list[bytes] = []
    for _ in range(8_000):
        heard += [found.body for found in reader.feed(good * 40)]
        if b'{"janus":"ack"}' in heard:
            break
    assert b'{"janus":"ack"}' in heard
