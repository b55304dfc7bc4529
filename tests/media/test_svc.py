"""Layers of SVC left out: with packets of a real encoder, whatever of them is lost or late, and by table."""

from itertools import groupby, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.peer import Layers
from appliance.wire import rtcp, vp9
from tests.clock import FakeClock
from tests.media.client import MEDIA
from tests.media.conftest import Call
from tests.media.layered import MODES, Packet, Sent, Way, is_wanted
from tests.media.test_rtx import RTX, RTX_SSRC


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("spatial", range(3))
@pytest.mark.parametrize("temporal", range(3))
def test_what_is_wanted_passes_without_a_gap(mode: str, spatial: int, temporal: int) -> None:
    packets = MODES[mode]
    sent = Way(spatial, temporal).all(packets)
    assert [one.packet for one in sent] == [one for one in packets if is_wanted(one, spatial, temporal)]
    assert [one.number for one in sent] == list(range(len(sent)))
    for _, group in groupby(sent, key=lambda one: one.packet.timestamp):
        *before, last = group
        assert not any(one.marker for one in before)
        # What the encoder marked or ended is marked; it breaks some pictures off itself.
        of_top = last.packet.described.spatial == spatial and last.packet.described.ends
        assert last.marker == (bool(last.packet.marker) or of_top)
    marked = sum(one.marker for one in sent)
    assert marked >= sum(bool(one.marker) for one in packets if one.described.temporal <= temporal)


@given(st.sampled_from(["L3T3", "L3T3_KEY"]), st.integers(0, 1), st.data())
def test_loss_in_what_is_left_out_is_nobodys_business(mode: str, spatial: int, data: st.DataObject) -> None:
    packets = MODES[mode]
    above = [index for index, packet in enumerate(packets) if packet.described.spatial > spatial]
    lost = data.draw(st.sets(st.sampled_from(above), max_size=len(above)))
    sent = Way(spatial).all([packet for index, packet in enumerate(packets) if index not in lost])
    assert [one.packet for one in sent] == [one for one in packets if one.described.spatial <= spatial]
    assert [one.number for one in sent] == list(range(len(sent)))


@given(st.sampled_from(list(MODES)), st.integers(0, 2), st.integers(0, 2), st.data())
def test_lost_late_and_repeated_packets(mode: str, spatial: int, temporal: int, data: st.DataObject) -> None:
    packets = MODES[mode]
    indexes = st.integers(1, len(packets) - 1)
    lost = data.draw(st.sets(indexes, max_size=15))
    late = data.draw(st.dictionaries(indexes, st.integers(1, 40), max_size=25))
    again = data.draw(st.sets(indexes, max_size=5))
    order = sorted(
        (index + late.get(index, 0), copy, index)
        for index in range(len(packets))
        if index not in lost
        for copy in range(2 if index in again else 1)
    )
    sent = Way(spatial, temporal).all([packets[index] for _, _, index in order])
    assert all(is_wanted(one.packet, spatial, temporal) for one in sent if not one.empty), "a higher layer"
    by_number: dict[int, Sent] = {}
    for one in sent:
        # What comes twice is the same packet both times, whatever was decided in between.
        assert by_number.setdefault(one.number, one) == one
    numbers = sorted(by_number)
    ordered = [packets.index(by_number[number].packet) for number in numbers]
    assert ordered == sorted(ordered)
    # Each number that is missing is that of a packet that did not come.
    assert numbers[-1] + 1 - len(numbers) <= len(lost)
    assert not any(one.marker for one in sent if one.empty)
    passed = {one.packet for one in sent if not one.empty}
    assert passed == {
        packet for index, packet in enumerate(packets) if index not in lost and is_wanted(packet, spatial, temporal)
    }


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(0, 9), st.binary(max_size=8)), max_size=40))
def test_nothing_that_comes_does_harm(packets: list[tuple[int, int, bytes]]) -> None:
    way = Way(0, 1)
    for sequence, timestamp, payload in packets:
        way.take(Packet(sequence, timestamp, 0, payload), 1.0)
    assert len(way.sent) <= len(packets)
    described = [vp9.read(one.packet.payload, 0, len(one.packet.payload)) for one in way.sent if not one.empty]
    assert all(one is not None and one.spatial == 0 for one in described)


# --- changes -----------------------------------------------------------------------------------------------------


class Encoder:
    """Two packets for each of three layers of a picture, with descriptors as RFC 9628 section 4.2 has them."""

    def __init__(self) -> None:
        self.number = self.sequence = 0

    def picture(
        self, *, key: bool = False, temporal: int = 0, up: bool = False, layers: tuple[int, ...] = (0, 1, 2)
    ) -> list[Packet]:
        self.number += 1
        packets = []
        for layer in layers:
            for part in range(2):
                first = 0xB0 | (not key) << 6 | (part == 0) << 3 | (part == 1) << 2
                described = bytes([first, self.number, temporal << 5 | up << 4 | layer << 1 | (layer > 0)])
                marker = int(layer == layers[-1] and part == 1)
                packets.append(Packet(self.sequence, 3000 * self.number, marker, described + b"x"))
                self.sequence += 1
        return packets


def shown(sent: list[Sent]) -> list[int]:
    """The highest layer of each picture that was sent, whose last packet alone is marked."""
    found = []
    for _, group in groupby(sent, key=lambda one: one.packet.timestamp):
        *before, last = group
        assert last.marker
        assert not any(one.marker for one in before)
        found.append(last.packet.described.spatial)
    assert [one.number for one in sent] == list(range(len(sent)))
    return found


def test_down_at_once_and_up_at_a_key_picture_that_is_asked_for() -> None:
    way, encoder = Way(), Encoder()
    for wanted, keys in ((2, "k-"), (0, "--"), (1, "-----k-"), (2, "-k-"), (1, "-"), (2, "k")):
        way.want(wanted)
        for kind in keys:
            way.all(encoder.picture(key=kind == "k"))
    assert shown(way.sent) == [2, 2, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 1, 2]
    assert [layer for what, layer in way.told if what == "spatial"] == [2, 0, 1, 2, 1]
    # For each way up once: the rest of the waiting is shorter than the pause between two requests.
    assert len(way.source.asked) == 2


def test_the_key_picture_is_asked_for_again_when_it_does_not_come() -> None:
    way, encoder = Way(0), Encoder()
    way.all(encoder.picture(key=True))
    way.want(2)
    for _ in range(40):
        for packet in encoder.picture():
            way.take(packet, 0.1 / 6)
    assert len(way.source.asked) in {4, 5}
    assert set(shown(way.sent)) == {0}


def test_a_picture_under_way_is_finished() -> None:
    way, encoder = Way(), Encoder()
    first, second = encoder.picture(key=True), encoder.picture()
    way.all(first[:3])
    way.want(0)
    way.all([*first[3:], *second])
    assert shown(way.sent) == [2, 0]


def test_a_layer_that_is_not_sent_is_not_told_and_comes_back() -> None:
    way, encoder = Way(), Encoder()
    way.all(encoder.picture(key=True))
    for layers in ((0, 1, 2), (0, 1), (0, 1, 2)):
        for _ in range(20):
            way.all(encoder.picture(layers=layers))
    assert shown(way.sent) == [2] * 21 + [1] * 20 + [2] * 20
    assert [layer for what, layer in way.told if what == "spatial"] == [2, 1, 2]
    assert not way.source.asked
    # A pause of everything is none of one layer.
    for packet in encoder.picture():
        way.take(packet, 5.0)
    assert way.told[-1] == ("spatial", 2)


def test_temporal_layers_begin_where_the_encoder_says() -> None:
    way, encoder = Way(2, 0), Encoder()
    pattern = (0, 2, 1, 2)
    way.all(encoder.picture(key=True, up=True))
    way.want(2, 2)
    for temporal in pattern[1:] + pattern:
        # In WebRTC, U is set on all of them.
        way.all(encoder.picture(temporal=temporal, up=True))
    numbers = [one.packet.described.temporal for one in way.sent if one.marker]
    assert numbers == [0, *pattern]
    way.want(2, 0)
    way.all(encoder.picture(temporal=0, up=True))
    way.all(encoder.picture(temporal=2, up=True))
    way.want(2, 1)
    for temporal in (1, 2, *pattern):
        way.all(encoder.picture(temporal=temporal, up=True))
    numbers = [one.packet.described.temporal for one in way.sent if one.marker]
    # What follows on the base layer's last picture may be built upon a picture of layer 2 that was left out.
    assert numbers[5:] == [0, 0, 1]
    assert not way.source.asked


def test_one_that_went_past_joins_in_the_middle() -> None:
    packets = MODES["L3T3"]
    way = Way(0)
    way.sink.source, way.sink.first = way.source.streams[0], packets[0].sequence
    way.all(packets[20:])
    pictures = [list(group) for _, group in groupby(way.sent, key=lambda one: one.packet.timestamp)]
    assert pictures[0][-1].packet.described.spatial == 2
    assert all(one.packet.described.spatial == 0 for picture in pictures[1:] for one in picture)
    assert all(after.number == before.number + 1 for before, after in pairwise(way.sent))
    assert not way.source.asked


# --- through the engine ------------------------------------------------------------------------------------------


async def test_what_is_lost_on_either_way_is_sent_again(
    call: Call, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, lines = MEDIA["video"]
    monkeypatch.setitem(MEDIA, "video", (first, [line.replace("VP8", "VP9") for line in lines]))
    declared = [f"a=ssrc-group:FID 1001 {RTX_SSRC}", f"a=ssrc:{RTX_SSRC} cname:client"]
    client, handle = call(extra={"video": [*RTX["video"], *declared]}, formats={"video": " 97"})
    told: list[tuple[str, int]] = []
    handle.peer.set_layers("1", spatial=1, told=lambda what, layer: told.append((what, layer)))
    packets = MODES["L3T3"][:70]

    def send(packet: Packet) -> None:
        client.send_rtp(
            "video", packet.sequence, packet.timestamp, packet.payload, payload_type=packet.marker << 7 | 96
        )

    # Of the base layer, of one that is left out (its first packet and more), and at the end of a picture.
    lost = [packets[index] for index in (12, 15, 16, 17, 18, 29, 30, 47)]
    for packet in packets:
        if packet not in lost:
            send(packet)
    client.pump()
    clock.advance(0.01)
    client.pump()
    asked = {number for report in client.reports if isinstance(report, rtcp.Nack) for number in report.lost}
    assert asked == {packet.sequence for packet in lost}
    for index, packet in enumerate(reversed(lost)):
        head = packet.sequence.to_bytes(2, "big")
        client.send_rtp(
            "video", 500 + index, packet.timestamp, head + packet.payload, ssrc=RTX_SSRC,
            payload_type=packet.marker << 7 | 97,
        )  # fmt: skip
    client.pump()
    sent = {header.sequence_number: (header, payload) for header, payload in client.packets}
    assert len(sent) == len(client.packets)
    numbers = sorted((number - client.packets[0][0].sequence_number) & 0xFFFF for number in sent)
    assert numbers == list(range(len(sent)))
    # Of what came late of a layer that is left out the number alone goes on, as padding.
    full = [payload for header, payload in client.packets if not header.padding_size]
    assert sorted(full) == sorted(one.payload for one in packets if one.described.spatial <= 1)
    assert len(full) == len(sent) - 3
    for header, payload in sent.values():
        found = vp9.read(payload, 0, len(payload))
        ends = found is not None and found.ends and found.spatial == 1
        assert header.marker == (ends and not header.padding_size)
    assert told == [("temporal", 0), ("spatial", 1), ("temporal", 2)]
    expected = Layers(substream=0, substream_target=2, temporal=2, temporal_target=2, spatial=1, spatial_target=1)
    assert handle.peer.layers("1") == expected
    # The client loses one of ours that was marked here, and gets it again as it was.
    header, payload = next(one for one in sent.values() if one[0].marker)
    client.packets.clear()
    client.send_rtcp(rtcp.Nack(sender_ssrc=1, media_ssrc=header.ssrc, lost=(header.sequence_number,)))
    client.pump()
    ((again, repeated),) = client.packets
    assert (again.timestamp, again.marker, repeated) == (
        header.timestamp, True, header.sequence_number.to_bytes(2, "big") + payload,
    )  # fmt: skip


async def test_nobody_who_asks_for_no_layers_goes_through_a_selection(
    call: Call, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, lines = MEDIA["video"]
    monkeypatch.setitem(MEDIA, "video", (first, [line.replace("VP8", "VP9") for line in lines]))
    client, handle = call()
    handle.peer.set_layers("1", temporal=0)
    assert handle.peer.layers("1") is None
    packets = MODES["L3T3"]
    for packet in packets[:20]:
        client.send_rtp("video", packet.sequence, packet.timestamp, packet.payload)
    client.pump()
    assert len(client.packets) == 20
    handle.peer.set_layers("1", spatial=0, temporal=2)
    for packet in packets[20:60]:
        client.send_rtp("video", packet.sequence, packet.timestamp, packet.payload)
    client.pump()
    numbers = [header.sequence_number for header, _ in client.packets]
    assert [(number - numbers[0]) & 0xFFFF for number in numbers] == list(range(len(numbers)))
    layers = handle.peer.layers("1")
    assert layers is not None
    assert (layers.spatial, layers.spatial_target) == (0, 0)
    assert len(numbers) < 40
