"""``appliance replay`` as its user calls it, and what reaches a capture server, a store and the metrics."""

import asyncio
import gzip
import json
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance.cli import main
from appliance.commands.replay import Options, ReplayError, Say, explain_files
from appliance.commands.ship import ship
from appliance.hep.listener import HepListener
from appliance.hep.message import HepMessage
from appliance.hep.template import encode
from appliance.wire.pcap import Writer
from tests.programs import need

DATA = Path(__file__).parent.parent / "data" / "replay"
CAPTURES = Path(__file__).parents[2] / "captures"
CLOSED = DATA / "pc_close.pcap.gz"


async def replay(paths: list[Path], options: Options, say: Say, note: Say) -> int:
    unreadable, events = explain_files(paths, options, say, note)
    if events:
        await ship(events, options, say, note)
    return unreadable


def test_each_call_is_told_in_words_and_a_bad_file_fails() -> None:
    done = CliRunner().invoke(main, ["replay", str(CLOSED), str(DATA / "nothing.pcap")])
    assert done.exit_code == 1
    assert "Verdict        normal_close: The client closed the call after 4.0 s" in done.output
    assert "nothing.pcap: No such file" in done.output


@pytest.mark.parametrize("capture", ["aiortc_echo", "chrome_echo", "gateway_chrome"])
def test_a_jitter_that_nobody_could_measure_is_not_told_as_none(capture: str) -> None:
    """Too short for a stream to tell its clock rate."""
    done = CliRunner().invoke(main, ["replay", str(CAPTURES / f"{capture}.pcap")])
    assert "jitter not measured" in done.output
    assert "jitter 0" not in done.output


def test_json_is_a_line_a_call() -> None:
    done = CliRunner().invoke(main, ["replay", "--json", str(CLOSED), str(DATA / "ice_wrongcand.pcap.gz")])
    assert done.exit_code == 0
    found = [json.loads(line) for line in done.output.splitlines()]
    assert [(call["file"], call["verdict"]["code"]) for call in found] == [
        ("pc_close.pcap.gz", "normal_close"),
        ("ice_wrongcand.pcap.gz", "udp_blocked_or_firewall"),
    ]


async def shipped(path: Path) -> list[HepMessage]:
    """What a capture server gets."""
    heard: list[HepMessage] = []
    over = asyncio.Event()

    def hear(message: HepMessage) -> None:
        heard.append(message)
        if message.payload.startswith(b"BYE"):
            over.set()

    listener = HepListener(hear, host="127.0.0.1", port=0)
    await listener.start()
    said: list[str] = []
    try:
        options = Options(homer=f"tcp://127.0.0.1:{listener.port}")
        assert await replay([path], options, said.append, said.append) == 0
        async with asyncio.timeout(5):
            await over.wait()
    finally:
        await listener.stop()
    return heard


async def test_homer_gets_the_call_and_the_same_call_again_from_its_capture(tmp_path: Path) -> None:
    heard = await shipped(CLOSED)
    starts = [message.payload[:7] for message in heard if message.payload_type == 1]
    assert starts[0] == b"INVITE "
    assert any(b"normal_close" in message.payload for message in heard)
    # What a capture of that traffic holds is the same call.
    writer = Writer()
    path = tmp_path / "hep.pcap"
    packets = [writer.file_header()]
    for message in heard:
        packets.append(
            writer.record(message.timestamp_us * 1000, ("192.0.2.1", 9), ("192.0.2.2", 9060), encode(message))
        )
    path.write_bytes(b"".join(packets))
    said: list[str] = []
    assert await replay([path], Options(as_json=True), said.append, said.append) == 0
    (call,) = [json.loads(line) for line in said]
    assert call["verdict"]["code"] == "normal_close"
    assert {track["kind"]: track["packets_in"] for track in call["tracks"]} == {"audio": 198, "video": 119}
    assert len(call["descriptions"]) == 2


async def test_the_store_keeps_it_and_the_metrics_count_it(tmp_path: Path) -> None:
    said: list[str] = []
    options = Options(store=str(tmp_path / "calls.db"), metrics=True)
    assert await replay([CLOSED], options, said.append, said.append) == 0
    with closing(sqlite3.connect(tmp_path / "calls.db")) as database:
        assert database.execute("SELECT count(*) FROM calls").fetchone() == (1,)
        assert database.execute("SELECT count(*) FROM sdps").fetchone() == (2,)
    counted = [line for line in "\n".join(said).splitlines() if line.startswith("appliance_handle_rtp_packets_total")]
    assert sorted(line.rpartition(" ")[2] for line in counted) == ["119", "119", "198", "198"]


async def test_a_wrong_destination_is_told_in_words() -> None:
    with pytest.raises(ReplayError, match="gopher"):
        await replay([CLOSED], Options(homer="gopher://there"), lambda _: None, lambda _: None)


@pytest.mark.interop
def test_packets_are_counted_as_tshark_counts_them(tmp_path: Path) -> None:
    tshark = need("tshark")
    path = tmp_path / "echo.pcap"
    path.write_bytes(gzip.decompress((DATA / "aiortc_echo.pcap.gz").read_bytes()))
    table = subprocess.run(
        [tshark, "-r", str(path), "-n", "-Y", "rtp", "-T", "fields", "-e", "rtp.ssrc", "-o", "rtp.heuristic_rtp:TRUE"],
        check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    theirs = sorted(table.count(ssrc) for ssrc in set(table))
    done = CliRunner().invoke(main, ["replay", "--json", str(path)])
    (call,) = [json.loads(line) for line in done.output.splitlines()]
    ours = sorted(count for track in call["tracks"] for count in (track["packets_in"], track["packets_out"]))
    assert ours == theirs
