"""Rules, buffers, the shelf and the pcapng writer, each by itself."""

import io
import shutil
import subprocess
from pathlib import Path
from typing import IO

import pytest

from appliance.handlers.recording.shelf import Shelf
from appliance.recording.buffer import OVERHEAD, SETUP_BYTES, Buffer, without_secrets
from appliance.recording.bundle import BundleError, OpenBundle
from appliance.recording.config import RecordingConfig
from appliance.recording.parts import Parts, PartsError, decode, encode
from appliance.recording.recorder import AFTERLIFE_S, GatewayRecorder
from appliance.recording.rules import Facts, RuleError, parse
from appliance.wire import pcapng_writer
from appliance.wire.pcap import ip_packet
from tests.clock import FakeClock
from tests.programs import need

HERE, THERE = ("192.0.2.1", 10000), ("192.0.2.2", 5000)
RTP = bytes.fromhex("906f000100000002000000030000000400000001aabbccdd") + b"payload"


@pytest.mark.parametrize(
    ("text", "facts", "holds"),
    [
        ("failed", Facts(correlation_id="c", failed=True), True),
        ("the next failed call", Facts(correlation_id="c", failed=True), True),
        ("failed", Facts(correlation_id="c"), False),
        ("loss > 5 %", Facts(correlation_id="c", loss=0.06), True),
        ("loss over 5%", Facts(correlation_id="c", loss=0.05), False),
        ("loss > 5", Facts(correlation_id="c"), False),
        ("verdict ice_failed", Facts(correlation_id="c", code="ice_failed"), True),
        ("room 1234", Facts(correlation_id="c", room="1234"), True),
        ("room 1234", Facts(correlation_id="c"), False),
        ("session 7", Facts(correlation_id="c", session_id=7), True),
        ("handle 7", Facts(correlation_id="c", session_id=7, handle_id=8), False),
        ("call 1-2-1@gw", Facts(correlation_id="1-2-1@gw"), True),
    ],
)
def test_rules(text: str, facts: Facts, holds: bool) -> None:
    assert parse(text).holds(facts) is holds


def test_a_rule_is_for_one_call_or_for_all() -> None:
    assert [parse(text).once for text in ("next failed", "failed", "next room 1")] == [True, False, True]
    assert [parse(text).decides for text in ("failed", "loss > 1", "handle 1")] == [True, True, False]


@pytest.mark.parametrize("text", ["", "fail", "loss > lots", "room", "verdict Bad-Code", "handle 1 2"])
def test_what_is_no_rule_says_what_would_be(text: str) -> None:
    with pytest.raises(RuleError, match="wanted failed, verdict CODE"):
        parse(text)


STUN = bytes.fromhex("000100002112a442") + bytes(12)


class Room:
    def __init__(self, size: int = 10**9) -> None:
        self.left = size

    def grow(self, size: int) -> bool:
        if size > self.left:
            return False
        self.left -= size
        return True

    def shrink(self, size: int) -> None:
        self.left += size


def test_a_ring_keeps_the_last_seconds_and_what_set_the_call_up() -> None:
    clock, room = FakeClock(), Room()
    ring = Buffer(RecordingConfig(buffer_seconds=10), clock, room, asked=False)
    ring.wire(b"\x16\xfe\xfd hello", True, HERE, THERE)
    for _ in range(30):
        clock.advance(1)
        ring.wire(RTP, True, HERE, THERE)
    kept = ring.snapshot()
    assert [one.data[0] for one in kept.wire] == [0x16] + [0x90] * 11
    assert kept.lost == {"aged": 19}
    ring.clear()
    assert room.left == 10**9


def test_bytes_are_bounded_for_a_call_and_for_all() -> None:
    asked = Buffer(RecordingConfig(max_bytes=65_536), FakeClock(), Room(), asked=True)
    for _ in range(100):
        asked.wire(RTP[:12] + bytes(1188), False, HERE, THERE)
    fit = 65_536 // (1200 + OVERHEAD)
    assert len(asked.snapshot().wire) == fit
    assert asked.lost == {"full": 100 - fit}
    poor = Buffer(RecordingConfig(), FakeClock(), Room(100), asked=True)
    poor.wire(RTP, True, HERE, THERE)
    assert poor.lost == {"total": 1}
    talkative = Buffer(RecordingConfig(buffer_seconds=1), FakeClock(), Room(), asked=False)
    for _ in range(1000):
        talkative.wire(b"\0" * 1000, True, HERE, THERE)
    assert SETUP_BYTES < sum(len(one.data) for one in talkative.snapshot().wire) < 2 * 2**20 + SETUP_BYTES


def test_only_headers_are_kept_unless_payloads_are_wanted() -> None:
    for payloads, size in ((False, 24), (True, len(RTP))):
        buffer = Buffer(RecordingConfig(payloads=payloads), FakeClock(), Room(), asked=True)
        buffer.plain(bytes([0x90]) + RTP[1:12] + bytes.fromhex("bede0002") + RTP[16:24] + b"payload", True)
        buffer.plain(RTP, True)
        assert [one.length for one in buffer.snapshot().plain] == [len(RTP), len(RTP)]
        assert len(buffer.snapshot().plain[0].data) == size


def test_keys_are_kept_only_where_configured() -> None:
    for keys, kept in ((False, []), (True, ["CLIENT_RANDOM 00 11"])):
        buffer = Buffer(RecordingConfig(keys=keys), FakeClock(), Room(), asked=True)
        buffer.secret("CLIENT_RANDOM 00 11")
        assert buffer.snapshot().keys == kept


def test_secrets_of_requests_are_left_out_at_any_depth() -> None:
    body = {"pin": "b", "list": [{"token": "c"}], "room": 5, "srtp_suite": 32, "srtp_crypto": "d"}
    said = {"janus": "message", "apisecret": "a", "body": body}
    assert without_secrets(said) == {
        "janus": "message", "apisecret": "********",
        "body": {
            "pin": "********", "list": [{"token": "********"}], "room": 5, "srtp_suite": 32, "srtp_crypto": "********",
        },
    }  # fmt: skip


def test_parts_come_back_as_they_were_and_others_are_refused() -> None:
    buffer = Buffer(RecordingConfig(), FakeClock(), Room(), asked=True)
    buffer.wire(RTP, True, HERE, THERE)
    buffer.message({"janus": "ack"}, incoming=False)
    assert decode(encode(buffer.snapshot())) == buffer.snapshot()
    for broken in (b"", b"PK", encode(Parts(version=9))):
        with pytest.raises(PartsError):
            decode(broken)


def recorder(folder: Path, **config: float) -> tuple[GatewayRecorder, FakeClock]:
    clock = FakeClock()
    return GatewayRecorder(RecordingConfig(**config), clock, folder, lambda work: work()), clock  # type: ignore[arg-type]


def test_a_gateway_keeps_nothing_unasked_where_that_is_wanted(tmp_path: Path) -> None:
    kept, _ = recorder(tmp_path, setup_bytes=0)
    assert kept.attached(1, 2) is None
    assert kept.take(1, 2) == {"file": None}


def test_what_sets_a_call_up_is_kept_unasked_and_no_media(tmp_path: Path) -> None:
    kept, clock = recorder(tmp_path)
    record = kept.attached(1, 2)
    assert record is not None
    assert not record.media
    kept.exchanged(1, 2, {"janus": "message", "body": {"pin": "secret"}}, {"janus": "ack"})
    record.wire(STUN, True, HERE, THERE)
    record.wire(RTP, True, HERE, THERE)
    parts = parts_of(kept, tmp_path)
    assert [one.data for one in parts.wire] == [STUN]
    assert [one.message["janus"] for one in parts.messages] == ["message", "ack"]
    assert kept.start(1, 2).media
    record.wire(RTP, True, HERE, THERE)
    kept.stop(1, 2)
    assert kept.attached(1, 2) is None  # else what comes next would push out what was recorded
    assert [one.data for one in parts_of(kept, tmp_path).wire] == [STUN, RTP]
    clock.advance(AFTERLIFE_S + 2)
    assert kept.take(1, 2) == {"file": None}


def test_what_sets_a_call_up_is_bounded_for_a_call_and_for_all() -> None:
    room = Room(100_000)
    for limit in (8_000, 90_000):
        buffer = Buffer(RecordingConfig(setup_bytes=limit), FakeClock(), room, asked=False)
        for _ in range(500):
            buffer.wire(STUN, True, HERE, THERE)
            buffer.message({"janus": "x" * 300, "list": [{"a": "b"}]}, incoming=True)
        parts = buffer.snapshot()
        assert 0 < sum(len(one.data) + OVERHEAD for one in parts.wire) < limit
        assert (len(parts.wire), len(parts.messages)) == (500 - parts.lost["setup"], 500 - parts.lost["messages"])
        assert parts.messages
        assert room.left > 100_000 - limit
        buffer.clear()
        assert room.left == 100_000


def parts_of(kept: GatewayRecorder, folder: Path) -> Parts:
    return decode((folder / "recordings" / kept.take(1, 2)["file"]).read_bytes())


def test_a_handle_that_is_gone_can_be_taken_for_a_while(tmp_path: Path) -> None:
    kept, clock = recorder(tmp_path, buffer_seconds=5.0)
    record = kept.attached(1, 2)
    assert record is not None
    record.wire(RTP, True, HERE, THERE)
    kept.detached(1, 2)
    name = kept.take(1, 2)["file"]
    assert kept.written(name) == {"state": "done"}
    clock.advance(AFTERLIFE_S + 2)
    assert kept.take(1, 2) == {"file": None}
    counts = {one.name: one.value for one in kept.measure() if not one.labels}
    assert (counts["recording_buffers"], counts["recording_buffer_bytes"]) == (0, 0)
    shelf = Shelf(tmp_path, max_bundles=9, max_bytes=2**30)
    data = shelf.parts(name)
    assert data is not None
    assert len(decode(data).wire) == 1
    assert shelf.parts(name) is None


def test_a_disk_that_is_full_is_told(tmp_path: Path) -> None:
    (tmp_path / "recordings").write_text("in the way")
    kept, _ = recorder(tmp_path)
    kept.start(1, 2)
    state = kept.written(kept.take(1, 2)["file"])
    assert (state["state"], bool(state["problem"])) == ("failed", True)


def test_the_shelf_makes_room_and_leaves_nothing_half_made(tmp_path: Path) -> None:
    def large(file: IO[bytes]) -> None:
        file.write(bytes(2**20 + 1))

    shelf = Shelf(tmp_path, max_bundles=2, max_bytes=2**20)
    paths = [shelf.store("1-2-1@gw", number * 10**6, lambda file: None) for number in (1, 2, 3)]
    assert [info.name for info in shelf.bundles()] == [paths[2].name, paths[1].name]
    big = shelf.store("3-4-1@gw", 4 * 10**6, large)
    assert [info.name for info in shelf.bundles()] == [big.name]

    def full(_file: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        shelf.store("5-6-1@gw", 5 * 10**6, full)
    assert [path.name for path in shelf.folder.iterdir()] == [big.name]
    assert shelf.path("../x_20200101T000000.000000Z.zip") is None
    assert shelf.path(big.name) == big


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 cut", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_bundle_is_refused(data: bytes) -> None:
    with pytest.raises(BundleError):
        OpenBundle(io.BytesIO(data))


@pytest.mark.interop
def test_tshark_reads_packets_comments_and_secrets(tmp_path: Path) -> None:
    need("tshark")
    path = tmp_path / "made.pcapng"
    key_log = f"CLIENT_RANDOM {'00' * 32} {'11' * 48}\n"
    path.write_bytes(
        pcapng_writer.header(comment="call 1", interface="wire")
        + pcapng_writer.secrets(key_log)
        + pcapng_writer.packet(1_700_000_000_123_456, ip_packet(HERE, THERE, RTP), comment="audio, SSRC 3")
        + pcapng_writer.packet(1_700_000_001_000_000, ip_packet(THERE, HERE, RTP), cut=5)
    )
    tshark = shutil.which("tshark")
    assert tshark is not None
    fields = ("frame.time_epoch", "frame.comment", "frame.len", "frame.cap_len", "udp.dstport")
    done = subprocess.run(
        [tshark, "-r", str(path), "-T", "fields", *(part for name in fields for part in ("-e", name))],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    size = 28 + len(RTP)
    assert [line.split("\t") for line in done.stdout.splitlines()] == [
        ["1700000000.123456000", "audio, SSRC 3", str(size), str(size), "5000"],
        ["1700000001.000000000", "", str(size), str(size - 5), "10000"],
    ]


def test_what_is_kept_unasked_keeps_nobody_from_being_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.recording.recorder.MAX_BUFFERS", 2)
    kept, _ = recorder(tmp_path)
    assert [kept.attached(handle, 1) is not None for handle in (1, 2, 3)] == [True, True, False]
    assert kept.start(3, 1).media
    assert kept.start(4, 1).media
    with pytest.raises(ValueError, match="2 calls are being kept already"):
        kept.start(5, 1)
