"""The spool on a real folder; time is the test's."""

import os
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from appliance.net.segments import Record
from appliance.net.spool import Spool


class Wall:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def opened(folder: Path, **options: float) -> Spool:
    made = Spool(folder, **options)  # type: ignore[arg-type]  # each by its name
    made.open()
    return made


def record(number: int, size: int = 100) -> Record:
    return Record(number % 256, number.to_bytes(4) + bytes(size - 4))


def numbers(records: Sequence[Record]) -> list[int]:
    return [int.from_bytes(record.data[:4]) for record in records]


def take_all(spool: Spool, step: int = 1000) -> list[int]:
    out: list[int] = []
    while spool.unread:
        got = spool.take(step)
        assert got
        out += numbers(got)
        spool.commit(len(got))
    return out


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.seg"))


def test_gives_back_in_order_what_it_was_given_and_leaves_no_file(tmp_path: Path) -> None:
    spool = opened(tmp_path, segment_bytes=5000)
    for start in range(0, 1000, 10):
        spool.append([record(number) for number in range(start, start + 10)])
    assert spool.unread == 1000
    assert len(files(tmp_path)) > 10
    assert spool.bytes == sum(path.stat().st_size for path in files(tmp_path))
    first = spool.take(250)
    assert numbers(first) == [0, 1]
    assert first[1] == record(1)
    spool.commit(2)
    assert take_all(spool) == list(range(2, 1000))
    assert spool.bytes == 0
    assert files(tmp_path) == []
    assert spool.lost == {}
    assert spool.take(1000) == []


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    spool = opened(tmp_path / "spool")
    spool.append([record(1)])
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "spool").iterdir()}
    assert modes == {0o600}
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700


def test_what_was_taken_and_not_committed_is_given_again(tmp_path: Path) -> None:
    spool = opened(tmp_path, segment_bytes=500)
    spool.append([record(number) for number in range(20)])
    assert numbers(spool.take(1000)) == list(range(10))
    spool.commit(4)
    assert numbers(spool.take(300)) == [10, 11, 12]
    spool.rewind()
    assert spool.unread == 16
    assert take_all(spool) == list(range(4, 20))


def test_a_record_longer_than_what_is_asked_for_is_given_alone(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append([record(1, 60_000), record(2)])
    assert numbers(spool.take(100)) == [1]
    assert numbers(spool.take(100)) == [2]


@pytest.mark.parametrize("tidy", [True, False])
def test_survives_a_restart(tmp_path: Path, tidy: bool) -> None:
    """Without ``close`` too: that is a process that was killed."""
    spool = opened(tmp_path, segment_bytes=700)
    spool.append([record(number) for number in range(30)])
    got = spool.take(900)
    spool.commit(5)
    assert len(got) == 9
    if tidy:
        spool.close()
    else:
        assert spool._lock is not None
        os.close(spool._lock)
        spool._lock = None
    again = opened(tmp_path, segment_bytes=700)
    assert again.unread == 25
    again.append([record(number) for number in range(30, 40)])
    assert take_all(again) == list(range(5, 40))
    again.close()
    empty = opened(tmp_path)
    assert empty.unread == 0
    spool.close()


def test_nothing_comes_twice_after_a_restart_of_an_empty_one(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    for number in range(3):
        spool.append([record(number)])
        assert take_all(spool) == [number]
        spool.close()
        spool = opened(tmp_path)
        assert spool.unread == 0


def test_is_bounded_and_gives_up_its_oldest(tmp_path: Path) -> None:
    spool = opened(tmp_path, max_bytes=20_000, segment_bytes=2000)
    for number in range(1000):
        spool.append([record(number)])
        assert spool.bytes <= 20_000
    kept = take_all(spool)
    assert kept == list(range(1000 - len(kept), 1000))
    assert len(kept) > 100
    assert spool.lost == {"full": 1000 - len(kept)}


def test_what_is_in_flight_may_be_pushed_out_too(tmp_path: Path) -> None:
    spool = opened(tmp_path, max_bytes=5000, segment_bytes=1000)
    spool.append([record(number) for number in range(8)])
    taken = numbers(spool.take(400))
    for number in range(8, 100):
        spool.append([record(number)])
    assert taken == [0, 1, 2, 3]
    spool.rewind()
    kept = take_all(spool)
    assert kept == list(range(100 - len(kept), 100))
    assert spool.lost == {"full": 100 - len(kept)}


def test_what_is_too_old_is_not_given(tmp_path: Path) -> None:
    wall = Wall()
    spool = Spool(tmp_path, max_age_s=60, wall=wall)
    spool.open()
    spool.append([record(1), record(2)])
    wall.now += 40
    spool.append([record(3)])
    wall.now += 40
    assert take_all(spool) == [3]
    assert spool.lost == {"expired": 2}
    spool.append([record(4)])
    wall.now += 100
    spool.expire()
    assert (spool.unread, spool.bytes, files(tmp_path)) == (0, 0, [])
    assert spool.lost == {"expired": 3}


def test_an_expired_record_behind_a_taken_one_is_committed_with_it(tmp_path: Path) -> None:
    wall = Wall()
    spool = Spool(tmp_path, max_age_s=60, wall=wall)
    spool.open()
    wall.now += 30
    spool.append([record(1)])
    wall.now -= 30
    spool.append([record(2)])
    wall.now += 30
    spool.append([record(3)])
    wall.now += 40
    assert numbers(spool.take(1000)) == [1, 3]
    spool.commit(2)
    assert (spool.bytes, spool.lost) == (0, {"expired": 1})


def test_a_cut_end_is_counted_and_the_rest_is_kept(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append([record(number) for number in range(5)])
    spool.close()
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    for cut in (1, 50, 112):
        path.write_bytes(whole[:-cut])
        again = opened(tmp_path)
        assert again.unread == 4
        assert again.lost == {"corrupt": 1}
        again.append([record(9)])
        assert numbers(again.take(10_000)) == [0, 1, 2, 3, 9]
        again.close()
        for extra in files(tmp_path)[1:]:
            extra.unlink()


def test_damage_costs_the_rest_of_its_segment_alone(tmp_path: Path) -> None:
    spool = opened(tmp_path, segment_bytes=600)
    spool.append([record(number) for number in range(5)])
    spool.append([record(number) for number in range(5, 10)])
    first = files(tmp_path)[0]
    data = bytearray(first.read_bytes())
    data[4 + 2 * 113 + 50] ^= 1
    first.write_bytes(data)
    assert take_all(spool, 150) == [0, 1, 5, 6, 7, 8, 9]
    assert spool.lost == {"corrupt": 3}
    assert files(tmp_path) == []


def test_noise_in_the_folder_harms_nobody(tmp_path: Path) -> None:
    chance = random.Random(5)
    (tmp_path / "cursor").write_bytes(chance.randbytes(20))
    (tmp_path / "000000000001.seg").write_bytes(chance.randbytes(5000))
    (tmp_path / "000000000002.seg").write_bytes(b"SPL1" + chance.randbytes(5000))
    (tmp_path / "000000000003.seg").write_bytes(b"")
    (tmp_path / "notes.seg").write_bytes(b"not ours")
    spool = opened(tmp_path)
    assert spool.unread == 0
    assert spool.lost["corrupt"] >= 2
    spool.append([record(1)])
    assert take_all(spool) == [1]
    assert (tmp_path / "notes.seg").exists()


def test_a_file_that_vanishes_is_counted(tmp_path: Path) -> None:
    spool = opened(tmp_path, segment_bytes=600)
    spool.append([record(number) for number in range(5)])
    spool.append([record(number) for number in range(5, 10)])
    files(tmp_path)[0].unlink()
    assert take_all(spool) == [5, 6, 7, 8, 9]
    assert spool.lost == {"corrupt": 5}


def test_a_full_disk_adds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = opened(tmp_path)
    spool.append([record(1)])
    write, room = os.write, 250

    def little(descriptor: int, data: bytes) -> int:
        nonlocal room
        if room == 0:
            raise OSError(28, "No space left on device")
        done = write(descriptor, bytes(data)[:room])
        room -= done
        return done

    monkeypatch.setattr(os, "write", little)
    with pytest.raises(OSError, match="No space left"):
        spool.append([record(number) for number in range(2, 10)])
    assert spool.unread == 1
    room = 10_000
    spool.append([record(2)])
    assert take_all(spool) == [1, 2]
    room = 2
    with pytest.raises(OSError, match="No space left"):
        spool.append([record(3)])
    assert (spool.unread, spool.bytes, files(tmp_path)) == (0, 0, [])
    room = 10_000
    spool.append([record(3)])
    assert take_all(spool) == [3]


def test_two_processes_do_not_share_one(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    with pytest.raises(OSError, match="another process uses this spool"):
        opened(tmp_path)
    spool.close()
    opened(tmp_path).close()


def test_agrees_with_a_list_whatever_is_done(tmp_path: Path) -> None:
    """Thousands of steps by chance, restarts among them, against what a list does."""
    chance = random.Random(11)
    spool = opened(tmp_path, segment_bytes=900)
    model: list[int] = []
    taken = next_number = 0
    for _ in range(3000):
        step = chance.randrange(10)
        if step < 3:
            fresh = list(range(next_number, next_number + chance.randrange(1, 6)))
            next_number += len(fresh)
            spool.append([record(number, chance.randrange(4, 300)) for number in fresh])
            model += fresh
        elif step < 6:
            got = numbers(spool.take(chance.randrange(1, 600)))
            assert got == model[taken : taken + len(got)]
            taken += len(got)
        elif step < 8:
            done = chance.randint(0, taken)
            spool.commit(done)
            del model[:done]
            taken -= done
        elif step == 8:
            spool.rewind()
            taken = 0
        elif chance.random() < 0.2:
            spool.close()
            spool = opened(tmp_path, segment_bytes=900)
            taken = 0
        elif taken == len(model):
            fresh = [next_number]
            next_number += 1
            spool.append([record(fresh[0])], taken=True)
            model += fresh
            taken += 1
        assert spool.unread == len(model) - taken
    assert spool.lost == {}
