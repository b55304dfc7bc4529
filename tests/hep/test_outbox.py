"""The outbox, without sockets: what is in doubt, and the order between memory and disk."""

import os
from pathlib import Path

import pytest

from appliance.hep import outbox as outbox_module
from appliance.hep.connection import Answer
from appliance.hep.outbox import Outbox, Packet
from appliance.hep.tally import Tally
from appliance.net.spool import Spool
from tests.hep.test_delivery import SIZE, number_of, packet


def outbox(folder: Path | None = None, *, max_bytes: int = 2**20) -> Outbox:
    spool = None
    if folder is not None:
        spool = Spool(folder, max_bytes=max_bytes)
        spool.open()
    return Outbox(Tally("tcp"), spool=spool)


def put(box: Outbox, *numbers: int) -> None:
    for number in numbers:
        box.put(Packet(packet(number), 100))


def take(box: Outbox, number: int) -> list[int]:
    packets, _ = box.take(number * SIZE)
    return [number_of(packet.data) for packet in packets]


READ, LATE, TAKEN = Answer.READ, Answer.LATE, Answer.TAKEN


@pytest.mark.parametrize(
    ("answers", "doubtful"),
    [
        pytest.param([READ], [0], id="read: dealt with when it reads again"),
        pytest.param([READ, READ], [1], id="the next read says that the first is dealt with"),
        pytest.param([READ, READ, READ], [2], id="and so on"),
        pytest.param([TAKEN, TAKEN, TAKEN], [0, 1, 2], id="an answer that tells nothing"),
        pytest.param([READ, LATE, LATE], [0, 1, 2], id="busy with the first"),
        pytest.param([READ, LATE, READ], [1, 2], id="both read at once after the first was dealt with"),
        pytest.param([READ, LATE, READ, READ], [3], id="and dealt with"),
        pytest.param([TAKEN, READ, TAKEN], [0, 1, 2], id="read once"),
    ],
)
@pytest.mark.parametrize("deaf", [True, False])
def test_what_is_in_doubt_when_a_connection_fails(answers: list[Answer], doubtful: list[int], deaf: bool) -> None:
    box = outbox()
    put(box, *range(10))
    for answer in answers:
        take(box, 1)
        box.acknowledged(1.0, answer)
    assert box.doubtful_bytes == len(doubtful) * SIZE
    in_flight = take(box, 1)
    box.failed(1.1, deaf=deaf)
    assert take(box, 10) == [*doubtful, *range(in_flight[0], 10)]


@pytest.mark.parametrize(
    ("answers", "doubtful"),
    [([LATE, TAKEN], [0]), ([READ], [0]), ([READ, READ], []), ([READ, LATE, READ], [])],
)
def test_a_piece_of_the_next_batch_tells_of_those_before_it(answers: list[Answer], doubtful: list[int]) -> None:
    box = outbox()
    put(box, *range(4))
    take(box, 1)
    box.acknowledged(1.0, TAKEN)
    (following,) = take(box, 1)
    for answer in answers:
        box.heard(answer)
    assert box.doubtful_bytes == len(doubtful) * SIZE
    box.failed(1.1)
    assert take(box, 10) == [*doubtful, following, 2, 3]


@pytest.mark.parametrize(
    ("heard", "failed_at", "again"),
    [
        pytest.param([], 2.9, [0, 1, 2, 3], id="a moment ago"),
        pytest.param([], 3.1, [2, 3], id="long ago"),
        pytest.param([LATE], 99.0, [0, 1, 2, 3], id="long ago, by one that hangs since"),
        pytest.param([LATE, READ], 3.1, [2, 3], id="long ago, by one that reads again"),
    ],
)
def test_what_was_acknowledged_long_ago_is_delivered(heard: list[Answer], failed_at: float, again: list[int]) -> None:
    box = outbox()
    put(box, *range(4))
    take(box, 2)
    box.acknowledged(1.0, TAKEN)
    take(box, 2)
    for answer in heard:
        box.heard(answer)
    box.failed(failed_at)
    assert take(box, 10) == again


def test_of_a_peer_that_never_tells_time_says_enough() -> None:
    box = outbox()
    put(box, *range(4))
    take(box, 2)
    box.acknowledged(1.0, LATE)
    box.settle(9.0)
    assert box.doubts
    box.trust()
    box.settle(9.0)
    assert not box.doubts


def test_a_peer_that_takes_nothing_may_have_read_nothing() -> None:
    box = outbox()
    put(box, *range(10))
    for _ in range(3):
        take(box, 2)
        box.acknowledged(1.0, TAKEN)
    take(box, 2)
    box.failed(21.0, deaf=True)
    assert take(box, 10) == list(range(10))


@pytest.mark.parametrize("spilt", ["before", "between", "after"])
def test_the_order_is_kept_between_memory_and_disk(tmp_path: Path, spilt: str) -> None:
    box = outbox(tmp_path)
    put(box, *range(6))
    if spilt == "before":
        box.spill()
    assert take(box, 2) == [0, 1]
    box.acknowledged(1.0, TAKEN)
    assert take(box, 2) == [2, 3]
    if spilt == "between":
        box.spill()
    put(box, 6, 7)
    box.failed(1.1)
    put(box, 8)
    if spilt == "after":
        box.spill()
        assert box.spooled == 9
    put(box, 9)
    out: list[int] = []
    while len(box):
        out += take(box, 3)
        box.acknowledged(2.0, TAKEN)
    assert out == list(range(10))
    box.close()
    assert list(tmp_path.glob("*.seg")) == []


def test_a_full_spool_refuses_statistics_first_and_gives_up_its_oldest(tmp_path: Path) -> None:
    box = outbox(tmp_path, max_bytes=100 * SIZE)
    for number in range(300):
        put(box, number)
        box.spill()
    lost = box._tally.dropped["spool_full"]
    assert take(box, 1) == [lost]
    assert not box.put(Packet(packet(1), 100), expendable=True)
    assert box._tally.dropped == {"spool_full": lost + 1}
    counts = {count.name: count.value for count in box.counts()}
    assert counts["hep_spool_packets"] == 300 - lost - 1
    assert 0 < counts["hep_spool_bytes"] <= 100 * SIZE


def test_a_full_disk_leaves_packets_in_memory_within_its_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = outbox(tmp_path)
    box.max_queued = 50
    put(box, *range(5))
    box.spill()
    with monkeypatch.context() as disk:

        def full(*_: object) -> int:
            raise OSError(28, "No space left on device")

        disk.setattr(os, "write", full)
        for number in range(5, 105):
            put(box, number)
            box.spill()
        assert box._tally.errors == {"spool": 100}
        assert box._tally.dropped == {"queue_full": 50}
        assert take(box, 2) == [0, 1]
        box.failed(1.0)
    box.spill()
    out: list[int] = []
    while len(box):
        out += take(box, 10)
        box.acknowledged(2.0, TAKEN)
    assert out == [*range(5), *range(55, 105)]


def test_memory_in_doubt_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "MAX_DOUBTFUL_BYTES", 20 * SIZE)
    box = outbox()
    put(box, *range(100))
    for _ in range(100):
        take(box, 1)
        box.acknowledged(1.0, TAKEN)
    box.failed(1.0, deaf=True)
    assert len(box) == 20
