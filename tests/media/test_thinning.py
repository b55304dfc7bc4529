"""Temporal layers left out: whole frames, and no gap behind them that was not there before."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.media.frames import Frame
from appliance.media.thinning import Numbers, Thinning

LAYERS = (0, 2, 1, 2)
"""As libvpx orders three temporal layers."""


class Packet:
    """Of a stream with three temporal layers, ``per_frame`` packets each."""

    def __init__(self, index: int, per_frame: int, *, first_sequence: int, first_picture: int) -> None:
        self.number, part = divmod(index, per_frame)
        self.sequence = (first_sequence + index) & 0xFFFF
        self.timestamp = 3000 * self.number
        self.layer = LAYERS[self.number % 4]
        self.frame = Frame(
            keyframe=self.number == 0 and part == 0,
            temporal=self.layer,
            sync=False,
            picture_id=(first_picture + self.number) & 0x7FFF,
            tl0_index=(self.number // 4) & 0xFF,
        )


def stream(count: int, per_frame: int, first_sequence: int, first_picture: int) -> list[Packet]:
    return [
        Packet(index, per_frame, first_sequence=first_sequence, first_picture=first_picture) for index in range(count)
    ]


def sent(thinning: Thinning, packet: Packet) -> tuple[int, Numbers] | None:
    """The sequence number that it gets, as TxStream reckons, and the rest."""
    numbers = thinning.take(packet.sequence, packet.timestamp, packet.frame)
    if numbers is None:
        return None
    return (packet.sequence + numbers.shift - thinning.skipped) & 0xFFFF, numbers


@given(st.integers(0, 2), st.integers(1, 4), st.integers(0, 0xFFFF), st.integers(0, 0x7FFF), st.integers(1, 60))
def test_without_loss_there_is_never_a_gap(
    target: int, per_frame: int, first_sequence: int, first_picture: int, frames: int
) -> None:
    thinning = Thinning()
    thinning.target = target
    packets = stream(per_frame * frames, per_frame, first_sequence, first_picture)
    thinning.begin(packets[0].sequence, packets[0].frame)
    passed = [(packet, found) for packet in packets if (found := sent(thinning, packet)) is not None]
    assert {packet.number for packet, _ in passed} == {
        number for number in range(frames) if LAYERS[number % 4] <= target
    }
    assert [found[0] for _, found in passed] == [(first_sequence + index) & 0xFFFF for index in range(len(passed))]
    pictures = list(dict.fromkeys(found[1].picture_id for _, found in passed))
    assert pictures == [(first_picture + index) & 0x7FFF for index in range(len(pictures))]
    assert len(pictures) == len({packet.number for packet, _ in passed})


@given(st.integers(0, 2), st.integers(1, 3), st.integers(0, 0xFFFF), st.data())
def test_lost_and_late_packets_keep_every_number_its_own(
    target: int, per_frame: int, first_sequence: int, data: st.DataObject
) -> None:
    thinning = Thinning()
    thinning.target = target
    packets = stream(per_frame * 40, per_frame, first_sequence, 0x7FF0)
    thinning.begin(packets[0].sequence, packets[0].frame)
    late = sorted(data.draw(st.sets(st.integers(1, len(packets) - 1), max_size=20)))
    order = [index for index in range(len(packets)) if index not in late]
    for index in late:
        back = data.draw(st.integers(1, 30))
        order.insert(min(len(order), index + back), index)
    numbers: dict[int, int] = {}
    pictures: dict[int, int] = {}
    for index in order:
        packet = packets[index]
        found = sent(thinning, packet)
        if found is None or found[1].empty:
            assert packet.layer > target
            continue
        place = (found[0] - first_sequence) & 0xFFFF
        assert place not in numbers, "two packets under one number"
        numbers[place] = index
        # A picture is one frame, and a frame is one picture.
        assert pictures.setdefault(found[1].picture_id, packet.number) == packet.number
    # What is sent keeps the order in which it was made.
    ordered = [numbers[place] for place in sorted(numbers)]
    assert ordered == sorted(ordered)
    # All of the wanted layers got through.
    assert {index for index, packet in enumerate(packets) if packet.layer <= target} <= set(ordered)


def layers(target: int, frames: list[tuple[int, bool, bool]], thinning: Thinning, first: int) -> list[int]:
    """What passes of frames given as (layer, sync, key)."""
    thinning.target = target
    passed = []
    for index, (layer, sync, key) in enumerate(frames, first):
        frame = Frame(keyframe=key, temporal=layer, sync=sync, picture_id=index, tl0_index=0)
        if thinning.take(index, 3000 * index, frame) is not None:
            passed.append(layer)
    return passed


def test_layers_end_at_once_and_begin_where_they_can_be_decoded() -> None:
    plain = [(layer, False, False) for layer in LAYERS]
    thinning = Thinning()
    thinning.begin(0, Frame(keyframe=True))
    assert layers(2, plain, thinning, 0) == [0, 2, 1, 2]
    assert thinning.temporal == 2
    assert layers(0, plain, thinning, 4) == [0]
    assert thinning.temporal == 0
    # Up again: nothing depends on the base alone yet.
    assert layers(2, plain, thinning, 8) == [0]
    assert layers(2, [(0, False, False), (2, False, False), (1, True, False), (2, False, False)], thinning, 12) == [
        0,
        1,
    ]
    assert thinning.temporal == 1
    assert layers(2, [(0, False, False), (2, True, False), (1, False, False), (2, False, False)], thinning, 16) == [
        0, 2, 1, 2,
    ]  # fmt: skip
    assert layers(0, plain, thinning, 20) == [0]
    assert layers(2, [(0, False, True), *plain[1:]], thinning, 24) == [0, 2, 1, 2]


def test_a_frame_under_way_is_finished() -> None:
    thinning = Thinning()
    packets = stream(12, 3, 100, 7)
    thinning.begin(100, packets[0].frame)
    assert [sent(thinning, packet) is not None for packet in packets[:4]] == [True] * 4
    thinning.target = 0
    assert [sent(thinning, packet) is not None for packet in packets[4:]] == [True] * 2 + [False] * 6


def test_another_source_joins_on() -> None:
    thinning = Thinning()
    thinning.continue_from(0x7FFF, 255)
    thinning.begin(500, Frame(keyframe=True, temporal=0, picture_id=1234, tl0_index=9))
    frame = Frame(keyframe=True, temporal=0, picture_id=1234, tl0_index=9)
    assert thinning.take(500, 0, frame) == Numbers(0, 0, 0)
    assert thinning.take(501, 3000, frame._replace(picture_id=1235, tl0_index=10)) == Numbers(0, 1, 1)
    thinning.begin(9, frame._replace(picture_id=3, tl0_index=200))
    assert thinning.take(9, 0, frame._replace(picture_id=3, tl0_index=200)) == Numbers(0, 2, 2)


def test_padding_is_closed_up_and_a_restarted_source_goes_on() -> None:
    thinning = Thinning()
    packets = stream(4, 1, 10, 0)
    thinning.begin(10, packets[0].frame)
    assert sent(thinning, packets[0]) == (10, Numbers(0, 0, 0))
    assert thinning.take(11, 0, None) is None
    assert thinning.skipped == 1
    again = thinning.take(40_000, 9, packets[2].frame)
    assert again is not None
    assert again.shift == 0
