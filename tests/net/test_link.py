import os
import socket
import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.net import link
from appliance.net.link import (
    Ack,
    Events,
    FrameDecoder,
    FramingError,
    Hello,
    LinkError,
    Message,
    Replay,
    Request,
    Response,
    TcpAddress,
    UnixAddress,
    Welcome,
    pack,
    parse_address,
    socket_path,
    unpack,
)
from appliance.net.unix import UnixListener

MESSAGES: list[Message] = [
    Hello(v=1, boot="b", server="gw"),
    Welcome(v=1, next=7),
    Events(seq=3, events=[b"one", b"", b"three" * 100]),
    Replay(events=[b"old"]),
    Ack(next=9),
    Request(id=1, verb="describe", args={"handle_id": 2**53 - 1}),
    Response(id=1, ok=False, error="no such handle"),
]


def test_a_frame_is_a_length_and_msgpack() -> None:
    # Written by hand from https://github.com/msgpack/msgpack/blob/master/spec.md
    body = b"\x83\xa4kind\xa6events\xa3seq\x05\xa6events\x91\xc4\x02\x01\x02"
    assert pack(Events(seq=5, events=[b"\x01\x02"])) == len(body).to_bytes(4, "big") + body


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_is_the_same_after_the_link(message: Message) -> None:
    assert unpack(pack(message)[4:]) == message


def test_a_stream_may_be_cut_at_every_byte() -> None:
    stream = b"".join(map(pack, MESSAGES))
    for cut in range(len(stream) + 1):
        decoder = FrameDecoder()
        bodies = [*decoder.feed(stream[:cut]), *decoder.feed(stream[cut:])]
        assert [unpack(body) for body in bodies] == MESSAGES
        assert len(decoder) == 0


def test_a_stream_may_come_byte_by_byte() -> None:
    decoder = FrameDecoder()
    stream = b"".join(map(pack, MESSAGES))
    bodies = [body for byte in stream for body in decoder.feed(bytes([byte]))]
    assert [unpack(body) for body in bodies] == MESSAGES


@settings(deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=8), st.lists(st.integers(0, 2500), max_size=8))
def test_any_bodies_survive_any_cuts(bodies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(len(body).to_bytes(4, "big") + body for body in bodies)
    decoder = FrameDecoder()
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    assert [body for start, end in pairwise(edges) for body in decoder.feed(stream[start:end])] == bodies


def test_a_frame_beyond_the_limit_ends_the_framing_and_what_came_before_is_kept() -> None:
    decoder = FrameDecoder(max_frame=100)
    arrived = []
    with pytest.raises(FramingError, match="frame length: 101 bytes came, wanted at most 100"):
        for body in decoder.feed(b"\0\0\0\x02ok" + b"\0\0\0\x65"):
            arrived.append(body)
    assert arrived == [b"ok"]


def test_a_frame_of_the_largest_size_passes_and_one_more_byte_is_refused_before_it_is_sent() -> None:
    room = link.MAX_FRAME - len(pack(Events(seq=0, events=[b""]))) - 8
    assert len(pack(Events(seq=0, events=[b"x" * room]))) <= link.MAX_FRAME + 4
    with pytest.raises(LinkError, match="wanted at most 8388608"):
        pack(Events(seq=0, events=[b"x" * link.MAX_FRAME]))


@pytest.mark.parametrize(
    "body",
    [b"", b"\xc1", b"\x80", b"\x81\xa4kind\xa3who", b"\x92\x01\x02", b"\x91" * 5000, pack(MESSAGES[2])[4:-1]],
    ids=["empty", "reserved", "no-kind", "unknown-kind", "array", "deep", "truncated"],
)
def test_what_is_no_message_is_refused(body: bytes) -> None:
    with pytest.raises(LinkError, match=f"frame of {len(body)} bytes"):
        unpack(body)


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    decoder = FrameDecoder()
    try:
        for body in decoder.feed(data):
            unpack(body)
    except LinkError:
        pass


def test_what_msgpack_cannot_hold_is_refused() -> None:
    with pytest.raises(LinkError, match="response"):
        pack(Response(id=1, ok=True, result={"number": 2**70}))
    with pytest.raises(LinkError, match="response"):
        pack(Response(id=1, ok=True, result={"thing": object()}))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:/run/a.sock", UnixAddress("/run/a.sock")),
        ("unix:///run/a.sock", UnixAddress("/run/a.sock")),
        ("tcp://127.0.0.1:7000", TcpAddress("127.0.0.1", 7000)),
        ("tcp://[::1]:7000", TcpAddress("::1", 7000)),
        ("tcp://collector.example:0", TcpAddress("collector.example", 0)),
    ],
)
def test_an_address_is_read(text: str, address: link.Address) -> None:
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "", "unix:", "unix:relative", "tcp://host", "tcp://:1", "tcp://host:port", "tcp://host:70000", "udp://h:1",
        "tcp://host:²", "unix:/" + "x" * 100,
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused_with_what_was_wanted(text: str) -> None:
    with pytest.raises(LinkError, match=r"wanted unix:/path or tcp://host:port|longer than 100 bytes"):
        parse_address(text)


def test_a_short_data_directory_holds_the_socket_itself(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="a", dir="/tmp") as short:
        assert socket_path(Path(short)) == Path(short) / "link.sock"


def test_a_long_one_leads_to_a_private_place_that_a_socket_can_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        monkeypatch.setattr(tempfile, "tempdir", short)
        long = tmp_path / ("d" * 120)
        path = socket_path(long)
        assert path == socket_path(long) != socket_path(long / "other")
        assert len(os.fsencode(path)) <= 100
        assert path.parent.stat().st_mode & 0o777 == 0o700
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(path))
        path.parent.chmod(0o755)
        with pytest.raises(LinkError, match="not a directory of this user alone"):
            socket_path(long)


def test_a_listener_lets_only_its_owner_in_and_clears_up_behind_it(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        path = Path(folder) / "s"
        listener = UnixListener(str(path))
        with listener.bind():
            assert path.stat().st_mode & 0o777 == 0o600
            # Bound and dead: the next takes its place.
        second = UnixListener(str(path))
        with second.bind() as alive:
            listener.remove()
            assert path.exists(), "it removed another's socket"
            alive.listen()
            with pytest.raises(OSError, match="somebody listens there already"):
                UnixListener(str(path)).bind()
        second.remove()
        assert not path.exists()
        path.write_text("precious")
        with pytest.raises(OSError, match="a file that is no socket is in the way"):
            UnixListener(str(path)).bind()
        assert path.read_text() == "precious"
