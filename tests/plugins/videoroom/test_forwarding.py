"""Where streams are forwarded to: in plain RTP and in SRTP, each encoding by itself, with key frame requests back."""

import asyncio
import secrets
import socket
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import av
import pytest
from msgspec.structs import replace
from pylibsrtp import Policy, Session

from appliance.media.plain import PlainSocket
from appliance.plugins.videoroom.config import VideoRoomConfig
from appliance.wire.rtcp import Pli, ReceiverReport, build_compound
from appliance.wire.rtp import RtpHeader
from tests.plugins.videoroom.people import MEDIA, Person
from tests.plugins.videoroom.test_ears import hear, packet, publisher

pytestmark = pytest.mark.usefixtures("publishing")

KEY = b64encode(bytes(range(30))).decode()
SIMULCAST = (MEDIA[0], replace(MEDIA[1], simulcast=True), MEDIA[2])


def port_of(sink: socket.socket) -> int:
    port: int = sink.getsockname()[1]
    return port


@pytest.fixture
def room() -> Iterator[tuple[Person, Person]]:
    """Ann publishes, and Bob is there."""
    with publisher() as ann:
        bob = Person(ann.world)
        bob.join(id=2)
        yield ann, bob


@pytest.fixture
def simulcast(monkeypatch: pytest.MonkeyPatch, publishing: None) -> Iterator[Person]:
    """Ann publishes her picture in three encodings."""
    monkeypatch.setattr("tests.core.fake_media.MEDIA", SIMULCAST)
    with publisher() as ann:
        yield ann


@pytest.fixture
def sink() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.settimeout(5)
        yield made


def forward(person: Person, sink: socket.socket, **item: Any) -> dict[str, Any]:
    stream = {"mid": "0", "port": port_of(sink), **item}
    return person.ask("rtp_forward", room=1234, publisher_id=1, host="127.0.0.1", streams=[stream])


def test_packets_go_on_with_the_numbers_asked_for(room: tuple[Person, Person], sink: socket.socket) -> None:
    ann, bob = room
    reply = forward(bob, sink, ssrc=77, pt=100)
    (made,) = reply["forwarders"]
    assert reply["videoroom"] == "rtp_forward"
    assert (made["type"], made["ssrc"], made["pt"], made["srtp"]) == ("audio", 77, 100, False)
    hear(ann, "0", packet(10, marker=True))
    data = sink.recv(2048)
    assert data[1] == 0x80 | 100
    assert int.from_bytes(data[8:12], "big") == 77
    assert data[2:8] + data[12:] == bytes(packet(10, marker=True))[2:8] + bytes(packet(10, marker=True))[12:]
    listed = bob.ask("listforwarders", room=1234)
    assert listed["publishers"] == [{"publisher_id": 1, "display": "ann", "forwarders": [made]}]


def test_a_forwarder_ends_when_it_is_told_to_or_its_stream_ends(
    room: tuple[Person, Person], sink: socket.socket
) -> None:
    ann, bob = room
    first, _ = (forward(bob, sink)["forwarders"][0]["stream_id"] for _ in range(2))
    reply = bob.ask("stop_rtp_forward", room=1234, publisher_id=1, stream_id=first)
    assert reply == {"videoroom": "stop_rtp_forward", "room": 1234, "publisher_id": 1, "stream_id": first}
    assert len(bob.ask("listforwarders", room=1234)["publishers"][0]["forwarders"]) == 1
    ann.tell("unpublish")
    ann.world.settle()
    assert bob.ask("listforwarders", room=1234)["publishers"] == []


def test_the_old_way_of_asking(room: tuple[Person, Person], sink: socket.socket) -> None:
    _, bob = room
    port = sink.getsockname()[1]
    reply = bob.ask("rtp_forward", room=1234, publisher_id=1, host="127.0.0.1", audio_port=port, audio_pt=9)
    assert reply["rtp_stream"]["audio"] == port
    assert reply["rtp_stream"]["audio_stream_id"] == reply["forwarders"][0]["stream_id"]


@pytest.mark.parametrize(
    ("changes", "code", "error"),
    [
        ({"host": "192.0.2.1"}, 433, "192.0.2.1 is in none of the networks"),
        ({"host": "example.com"}, 430, "names are not looked up"),
        ({"publisher_id": 9}, 428, "No such feed (9)"),
        ({"streams": [{"mid": "7", "port": 1}]}, 428, "No such stream with mid '7'"),
        ({"streams": [{"mid": "0", "port": 0}]}, 430, "out of its range"),
        ({"streams": [{"mid": "0", "port": 9, "rtcp_port": 65_536}]}, 430, "rtcp_port is 65536"),
        ({"streams": [{"mid": "0", "port": 9, "srtp_suite": 80}]}, 429, "Missing mandatory element (srtp_crypto"),
        ({"streams": [{"mid": "0", "port": 9, "srtp_crypto": KEY}]}, 429, "Missing mandatory element (srtp_suite"),
        ({"streams": [{"mid": "0", "port": 9, "srtp_suite": 64, "srtp_crypto": KEY}]}, 430, "wanted 32 or 80"),
        ({"srtp_suite": 80, "srtp_crypto": "c2hvcnQ="}, 430, "srtp_crypto has 5 bytes, wanted 30"),
        ({"srtp_suite": 80, "srtp_crypto": "not base64"}, 430, "srtp_crypto is no base64"),
        ({"srtp_suite": 80, "srtp_crypto": KEY, "streams": [{"mid": "2", "port": 9}]}, 430, "2 is data"),
        ({"streams": [{"mid": "2", "port": 9, "rtcp_port": 10}]}, 430, "2 is data"),
        ({"streams": [{"mid": "0"}]}, 429, "Missing mandatory element (port)"),
        ({"streams": []}, 429, "Missing mandatory element (streams)"),
        ({"streams": [{"mid": "0", "port": 9}] * 17}, 499, "no room for 17 more"),
    ],
)
def test_forwarders_that_are_refused(
    room: tuple[Person, Person], changes: dict[str, Any], code: int, error: str
) -> None:
    _, bob = room
    body = {"publisher_id": 1, "host": "127.0.0.1", "streams": [{"mid": "0", "port": 9}]} | changes
    reply = bob.ask("rtp_forward", room=1234, **body)
    assert reply["error_code"] == code
    assert error in reply["error"]
    assert bob.ask("listforwarders", room=1234)["publishers"] == []


def test_a_lock_asks_for_the_admin_key(sink: socket.socket) -> None:
    with publisher(VideoRoomConfig(lock_rtp_forward=True, admin_key="k")) as ann:
        assert forward(ann, sink)["error_code"] == 429
        stream = {"mid": "0", "port": sink.getsockname()[1]}
        body = {"publisher_id": 1, "host": "127.0.0.1", "streams": [stream], "admin_key": "k"}
        assert ann.ask("rtp_forward", room=1234, **body)["videoroom"] == "rtp_forward"


def sinks(count: int) -> list[socket.socket]:
    made = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    for one in made:
        one.bind(("127.0.0.1", 0))
        one.settimeout(5)
    return made


def free_pair() -> int:
    """A port that ffmpeg can take, with the next one for RTCP: below those that the kernel gives to others."""
    while True:
        port = 22_000 + 2 * secrets.randbelow(4_000)
        with ExitStack() as stack:
            try:
                for number in (port, port + 1):
                    one = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                    one.bind(("127.0.0.1", number))
            except OSError:
                continue
            return port


def test_each_encoding_goes_to_a_port_of_its_own(simulcast: Person) -> None:
    low, middle, high = sinks(3)
    reply = forward(simulcast, low, mid="1", port_2=port_of(middle), ssrc_2=22, port_3=port_of(high), pt_3=99)
    assert [(one["substream"], one["port"]) for one in reply["forwarders"]] == [
        (0, port_of(low)), (1, port_of(middle)), (2, port_of(high)),
    ]  # fmt: skip
    for layer in range(3):
        hear(simulcast, f"1/{layer}", packet())
    heard = [one.recv(2048) for one in (low, middle, high)]
    assert [int.from_bytes(data[8:12], "big") for data in heard] == [3, 22, 3]
    assert [data[1] & 0x7F for data in heard] == [111, 111, 99]
    for one in reply["forwarders"]:
        simulcast.ask("stop_rtp_forward", room=1234, publisher_id=1, stream_id=one["stream_id"])
    assert simulcast.peer is not None
    assert [simulcast.peer.listeners[f"1/{layer}"] for layer in range(3)] == [None] * 3
    for sink in (low, middle, high):
        sink.close()


def test_the_old_way_of_asking_for_each_encoding(simulcast: Person) -> None:
    body = {"video_port": 9001, "video_port_2": 9002, "video_port_3": 9003, "video_rtcp_port": 0}
    reply = simulcast.ask("rtp_forward", room=1234, publisher_id=1, host="127.0.0.1", **body)
    told = reply["rtp_stream"]
    assert (told["video"], told["video_2"], told["video_3"]) == (9001, 9002, 9003)
    assert {told[f"video_stream_id{at}"] for at in ("", "_2", "_3")} == {
        one["stream_id"] for one in reply["forwarders"]
    }


@pytest.mark.parametrize("where", ["request", "stream"])
def test_the_best_encoding_goes_out_as_one_stream(simulcast: Person, sink: socket.socket, where: str) -> None:
    stream = {"mid": "1", "port": port_of(sink), "port_2": 9} | ({"simulcast": True} if where == "stream" else {})
    body = {"simulcast": True} if where == "request" else {}
    reply = simulcast.ask("rtp_forward", room=1234, publisher_id=1, host="127.0.0.1", streams=[stream], **body)
    (made,) = reply["forwarders"]
    assert "substream" not in made
    hear(simulcast, "1", packet())
    assert sink.recv(2048)
    assert simulcast.last_call() == ("request_keyframe", "1")


@pytest.mark.parametrize("suite", [32, 80])
@pytest.mark.parametrize("per_stream", [True, False])
def test_ffmpeg_opens_what_is_encrypted(
    room: tuple[Person, Person], tmp_path: Path, suite: int, per_stream: bool
) -> None:
    ann, bob = room
    port = free_pair()
    asked = {"srtp_suite": suite, "srtp_crypto": KEY}
    stream = {"mid": "0", "port": port, "ssrc": 77} | (asked if per_stream else {})
    body = {} if per_stream else asked
    reply = bob.ask("rtp_forward", room=1234, publisher_id=1, host="127.0.0.1", streams=[stream], **body)
    assert reply["forwarders"][0]["srtp"] is True
    assert KEY not in str((reply, bob.ask("listforwarders", room=1234), ann.world.events))
    description = tmp_path / "stream.sdp"
    description.write_text(
        f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {port} RTP/SAVP 111\n"
        f"a=rtpmap:111 opus/48000/2\na=crypto:1 AES_CM_128_HMAC_SHA1_{suite} inline:{KEY}\n"
    )
    done = threading.Event()

    def send() -> None:
        number = 0
        while not done.wait(0.002):
            header = RtpHeader(payload_type=111, sequence_number=number, timestamp=960 * number, ssrc=3)
            hear(ann, "0", memoryview(header.build() + b"\xfcframe %d" % number))
            number += 1

    sender = threading.Thread(target=send)
    sender.start()
    options = {"protocol_whitelist": "file,udp,rtp,srtp", "probesize": "32", "analyzeduration": "0"}
    try:
        with av.open(str(description), format="sdp", options=options, timeout=10) as container:
            frames = [bytes(frame) for _, frame in zip(range(5), container.demux(), strict=False)]
    finally:
        done.set()
        sender.join()
    numbers = [int(frame.split()[1]) for frame in frames]
    assert frames == [b"\xfcframe %d" % number for number in numbers]
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("encrypted", [False, True])
async def test_a_receiver_that_was_latched_to_asks_for_key_frames(
    room: tuple[Person, Person], sink: socket.socket, encrypted: bool
) -> None:
    ann, bob = room
    heard: asyncio.Queue[tuple[bytes, tuple[str, int]]] = asyncio.Queue()
    feedback = PlainSocket(lambda data, address: heard.put_nowait((data, address)), local=("127.0.0.1", 0))
    secret = {"srtp_suite": 32, "srtp_crypto": KEY} if encrypted else {}
    reply = forward(bob, sink, mid="1", rtcp_port=feedback.address[1], **secret)
    (made,) = reply["forwarders"]
    assert made["remote_rtcp_port"] == feedback.address[1]
    async with asyncio.timeout(5):
        latches = [await heard.get() for _ in range(2)]
    # An empty RTP packet each, from where feedback is taken.
    assert latches == [(b"\x80" + bytes(11), ("127.0.0.1", made["local_rtcp_port"]))] * 2
    assert ann.peer is not None
    before = len(ann.peer.calls)
    policy = Policy(
        key=bytes(range(30)), ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=Policy.SRTP_PROFILE_AES128_CM_SHA1_32
    )
    session = Session(policy)
    useless = build_compound([ReceiverReport(ssrc=1)])
    wanted = build_compound([Pli(sender_ssrc=1, media_ssrc=3)])
    for data in (b"", b"noise", useless, wanted):
        feedback.send(session.protect_rtcp(data) if encrypted and len(data) > 7 else data, latches[0][1])
    forwarder = next(iter(room_of(bob).participants[1].forwarders.values()))
    await until(lambda: forwarder.outlet.requests)
    assert ann.peer.calls[before:] == [("request_keyframe", "1")]
    assert forwarder.outlet.ignored == 3
    # As a Janus does: in plain, whether media are encrypted or not.
    feedback.send(wanted, latches[0][1])
    await until(lambda: forwarder.outlet.requests == 2)
    feedback.close()


async def until(condition: Callable[[], Any]) -> None:
    """What comes over a socket is told to nobody here."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  # a turn of the loop at a time
            await asyncio.sleep(0)


def room_of(person: Person) -> Any:
    plugin: Any = next(iter(person.world.gateway.plugins.values()))
    (room,) = plugin._rooms
    return room
