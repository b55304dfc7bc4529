"""Which encoding a receiver gets: by table, then with packets through the engine."""

from itertools import pairwise

import pytest
from aiortc.codecs.vpx import VpxPayloadDescriptor
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.peer import Layers
from appliance.media.receive import RxStream
from appliance.media.selection import Selection
from appliance.wire import rtcp
from tests.clock import FakeClock
from tests.media.client import Client
from tests.media.conftest import Call
from tests.media.harness import Handle
from tests.media.route import Sink, Source
from tests.media.test_simulcast import BY_RID, SSRCS, labelled, simulcast


def vp8(*, key: bool, picture: int = 1, tl0: int = 1, layer: int = 0, sync: bool = False) -> bytes:
    head = bytes(VpxPayloadDescriptor(1, 0, picture & 0x7FFF, tl0 & 0xFF, (layer, int(sync)), None))
    return head + (b"\x10" if key else b"\x11") + b"picture"


K, D, SILENCE = "key", "delta", "silence"


@pytest.mark.parametrize(
    ("target", "steps", "sent", "asked"),
    [
        pytest.param(2, [(0, K), (0, D)], [0, 0], [], id="whatever speaks first"),
        pytest.param(2, [(0, D), (0, D), (0, K)], [0], [0], id="a key frame begins it"),
        pytest.param(2, [(0, K), (2, D), (0, D), (2, K), (0, D), (2, D)], [0, 0, 2, 2], [2], id="up on a key frame"),
        pytest.param(1, [(0, K), (2, K), (1, K), (0, K), (2, K), (1, D)], [0, 1, 1], [], id="not above the target"),
        pytest.param(0, [(2, K), (0, K), (1, K), (2, D), (0, D)], [2, 0, 0], [], id="down to the target"),
        pytest.param(
            2,
            [(2, K), (1, D), (0, D), SILENCE, (0, D), (1, D), (0, D), (1, K), (1, D), (2, D), (2, K)],
            [2, 1, 1, 2],
            [0, 1, 2],
            id="one that falls silent is stood in for",
        ),
        pytest.param(1, [(2, K), SILENCE, (2, D), (0, K)], [2, 2, 0], [], id="the lowest where all are above"),
    ],
)
def test_the_encoding(target: int, steps: list[object], sent: list[int], asked: list[int]) -> None:
    source, sink = Source("vp8", "lmh"), Sink()
    selection = sink.select()
    selection.want(substream=target, temporal=None, fallback=None)
    told: list[tuple[str, int]] = []
    selection.told = lambda what, layer: told.append((what, layer))
    now = 100.0
    for number, step in enumerate(steps):
        if step == SILENCE:
            now += 1.0
            continue
        assert isinstance(step, tuple)
        now += 0.01
        substream, kind = step
        feed(selection, source.streams[substream], number, vp8(key=kind == K), now)
    assert [one.source.substream for one in sink.sent] == sent
    assert source.asked == asked
    changes = [layer for index, layer in enumerate(sent) if index == 0 or sent[index - 1] != layer]
    assert [layer for what, layer in told if what == "substream"] == changes
    assert selection.layers.substream == sent[-1]


def feed(selection: Selection, stream: RxStream, sequence: int, payload: bytes, now: float) -> None:
    data = bytearray(b"\x80\x60" + sequence.to_bytes(2, "big") + bytes(8) + payload)
    stream.highest, stream.arrived = sequence, now
    view = memoryview(data)
    selection.forward((view, None, None), len(data), 96, sequence, 3000 * sequence, stream)


def test_a_key_frame_that_cannot_be_told_is_not_waited_for_for_ever() -> None:
    source, sink = Source("vp8", "lmh"), Sink()
    selection = sink.select()
    for number in range(40):
        feed(selection, source.streams[2], number, vp8(key=False), 100 + number * 0.1)
    assert (sink.sent[0].source.substream, sink.first) == (2, 30)
    assert source.asked == [2, 2, 2, 2]


# --- through the engine ------------------------------------------------------------------------------------------


class Camera:
    """Sends encodings with numbers of their own, and key frames when asked."""

    def __init__(self, client: Client, clock: FakeClock, *, first: int = 0) -> None:
        self.client, self.clock = client, clock
        self.frames = dict.fromkeys("lmh", first)
        self.bases = {"l": 10, "m": 200, "h": 90}
        self.layers = dict.fromkeys("lmh", 1)
        self.read = 0

    def frame(self, rids: str = "lmh") -> None:
        """One picture of each."""
        asked = {item.media_ssrc for item in self.client.reports[self.read :] if isinstance(item, rtcp.Pli)}
        self.read = len(self.client.reports)
        for rid in rids:
            number = self.frames[rid]
            self.frames[rid] += 1
            offset = 1000 * (1 + "lmh".index(rid))
            key = SSRCS[rid] in asked
            self.layers[rid] = 0 if key else 1 - self.layers[rid]
            self.bases[rid] += not self.layers[rid]
            payload = vp8(
                key=key,
                picture=offset + number,
                tl0=self.bases[rid],
                layer=self.layers[rid],
                sync=True,
            )
            for _ in range(2):
                sequence = 2 * number + offset + _
                head, rest = payload[:5], payload[5:]
                part = payload if _ == 0 else bytes([head[0] & ~0x10]) + head[1:] + rest
                self.client.send_rtp(
                    "video", sequence, 3000 * number + offset, part, ssrc=SSRCS[rid], extension=labelled(rid)
                )
        self.client.pump()
        self.clock.advance(0.033)
        self.client.pump()

    def frames_of(self, count: int, rids: str = "lmh") -> None:
        for _ in range(count):
            self.frame(rids)


def assert_continuous(client: Client) -> None:
    sequences = [header.sequence_number for header, _ in client.packets]
    assert sequences == [(sequences[0] + index) & 0xFFFF for index in range(len(sequences))]
    pictures: list[int] = []
    base: list[int] = []
    stamps: list[int] = []
    for header, payload in client.packets:
        descriptor, _ = VpxPayloadDescriptor.parse(payload)
        assert descriptor.picture_id is not None
        assert descriptor.tl0picidx is not None
        if not pictures or pictures[-1] != descriptor.picture_id:
            pictures.append(descriptor.picture_id)
            base.append(descriptor.tl0picidx)
            stamps.append(header.timestamp)
        assert stamps[-1] == header.timestamp
    assert pictures == [(pictures[0] + index) & 0x7FFF for index in range(len(pictures))]
    assert all((after - before) & 0xFF <= 1 for before, after in pairwise(base))
    assert all(0 < (after - before) & 0xFFFFFFFF < 90_000 for before, after in pairwise(stamps))


def flowing(handle: Handle) -> tuple[int, int]:
    layers = handle.peer.layers("1")
    assert layers is not None
    return layers.substream, layers.temporal


async def test_an_echo_of_simulcast_is_one_picture_after_another(call: Call, clock: FakeClock) -> None:
    client, handle = simulcast(call)
    told: list[tuple[str, int]] = []
    camera = Camera(client, clock)
    handle.peer.set_layers("1", told=lambda what, layer: told.append((what, layer)))
    camera.frames_of(10)
    assert flowing(handle) == (2, 1)
    for substream, temporal in ((0, 2), (1, 0), (2, 2), (0, 1)):
        handle.peer.set_layers("1", substream=substream, temporal=temporal)
        camera.frames_of(20)
        assert flowing(handle) == (substream, min(temporal, 1))
    assert handle.peer.layers("1") == Layers(substream=0, substream_target=0, temporal=1, temporal_target=1, spatial=0)
    assert_continuous(client)
    assert len({header.ssrc for header, _ in client.packets}) == 1
    # Restriction ids are the client's own business.
    assert not any(header.extension.strip(b"\0") for header, _ in client.packets)
    assert [layer for what, layer in told if what == "substream"][-4:] == [0, 1, 2, 0]


async def test_what_falls_silent_is_stood_in_for_and_comes_back(call: Call, clock: FakeClock) -> None:
    client, handle = simulcast(call)
    camera = Camera(client, clock)
    camera.frames_of(10)
    camera.frames_of(30, "lm")
    assert flowing(handle)[0] == 1
    camera.frames_of(30)
    assert flowing(handle)[0] == 2
    handle.peer.set_layers("1", fallback_us=5_000_000)
    camera.frames_of(30, "lm")
    assert flowing(handle)[0] == 2
    assert_continuous(client)


async def test_holding_and_letting_go_begins_with_a_key_frame(call: Call, clock: FakeClock) -> None:
    client, handle = simulcast(call)
    camera = Camera(client, clock)
    camera.frames_of(10)
    handle.peer.set_sending("1", active=False)
    camera.frames_of(10)
    before = len(client.packets)
    handle.peer.set_sending("1", active=True)
    camera.frames_of(20)
    again = client.packets[before:]
    assert again[0][1][6:7] == b"\x10"
    assert_continuous(client)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.sampled_from(["lmh", "lm", "l", "h"])), max_size=6))
def test_numbers_are_continuous_whatever_is_asked(asked: list[tuple[int, int, str]]) -> None:
    source, sink = Source("vp8", "lmh"), Sink()
    selection = sink.select()
    now, number = 100.0, 0
    numbers: list[int] = []
    for substream, temporal, speaking in asked:
        selection.want(substream=substream, temporal=temporal, fallback=0.1)
        for _ in range(12):
            now, number = now + 0.033, number + 1
            for rid in speaking:
                index = "lmh".index(rid)
                key = index in source.asked or number == 1
                source.asked = [one for one in source.asked if one != index]
                before = len(sink.sent)
                payload = bytearray(
                    bytes(12) + vp8(key=key, picture=number * (index + 1), tl0=number, layer=0 if key else number % 3)
                )
                stream = source.streams[index]
                stream.highest, stream.arrived = number, now
                selection.forward(
                    (memoryview(payload), None, None),
                    len(payload),
                    96,
                    number,
                    3000 * number,
                    stream,
                )
                if len(sink.sent) > before:
                    descriptor, _ = VpxPayloadDescriptor.parse(bytes(payload[12:]))
                    assert descriptor.picture_id is not None
                    numbers.append(descriptor.picture_id)
    assert numbers == [(numbers[0] + index) & 0x7FFF for index in range(len(numbers))]


async def test_a_switch_waits_for_a_key_frame_and_joins_on(call: Call, clock: FakeClock) -> None:
    lines = {"video": BY_RID[:4]}
    watcher, seeing = call(extra=lines, formats={"video": " 97"})
    sources = [call(extra=lines, formats={"video": " 97"}) for _ in range(2)]
    watcher.packets.clear()

    def send(which: int, first: int, count: int, *, key: bool = False) -> None:
        for number in range(first, first + count):
            payload = vp8(key=key and number == first, picture=100 + 5000 * which + number, tl0=50 + 100 * which)
            sources[which][0].send_rtp("video", number + 700 * which, 3000 * number, payload)
            clock.advance(0.03)
        for client in (watcher, *(client for client, _ in sources)):
            client.pump()

    def show(which: int) -> None:
        sources[which][1].peer.forward("1", seeing.peer, "1")

    show(0)
    send(0, 0, 5, key=True)
    send(1, 0, 5, key=True)
    assert len(watcher.packets) == 5
    show(1)
    send(1, 5, 5)
    assert len(watcher.packets) == 5, "nothing to begin with"
    pli = [item for item in sources[1][0].reports if isinstance(item, rtcp.Pli)]
    assert pli
    send(1, 10, 5, key=True)
    send(0, 5, 5)
    assert len(watcher.packets) == 10
    assert_continuous(watcher)
    show(0)
    send(0, 10, 5, key=True)
    assert len(watcher.packets) == 15
    assert_continuous(watcher)
    assert seeing.peer.layers("1") is None
