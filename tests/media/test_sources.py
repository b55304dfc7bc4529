"""How many sources a peer may have, and which gives way."""

from appliance.core.events import MediaFault
from appliance.media.config import MAX_STREAMS
from appliance.wire import twcc
from tests.clock import FakeClock
from tests.media.client import Client
from tests.media.conftest import Call

INVENTED = 50_000


def invent(client: Client, count: int, *, start: int = INVENTED) -> None:
    for index in range(count):
        client.send_rtp("audio", index, 960 * index, ssrc=start + index)
        client.pump()


async def test_invented_sources_keep_out_neither_the_described_nor_later_ones(call: Call, clock: FakeClock) -> None:
    client, handle = call()
    path = handle.peer.path
    invent(client, MAX_STREAMS + 8)
    assert len(path.streams) == MAX_STREAMS
    assert path.sources.evicted == 0
    # What the description names has its place at once, whoever is loud.
    client.send_rtp("video", 1, 3000)
    client.pump()
    assert client.ssrcs["video"] in path.streams
    assert (len(path.streams), path.sources.evicted) == (MAX_STREAMS, 1)
    # Anybody else has to wait until strays have been silent for a moment.
    invent(client, 1, start=90_000)
    assert 90_000 not in path.streams
    clock.advance(0.6)
    invent(client, 1, start=90_001)
    assert 90_001 in path.streams
    assert (len(path.streams), path.sources.evicted) == (MAX_STREAMS, 2)
    path.faults.tell()
    faults = {fault.kind: fault.count for fault in handle.all(MediaFault)}
    assert sum(fault.count for fault in handle.all(MediaFault) if fault.kind == "ssrc_limit") == 9
    assert faults["ssrc_evicted"] == 2


async def test_a_source_at_work_is_not_evicted_and_what_is_gone_stays_counted(call: Call, clock: FakeClock) -> None:
    client, handle = call()
    path, line = handle.peer.path, handle.peer.lines[0]
    for number in range(20):
        client.send_rtp("audio", number, 960 * number)
    client.send_rtp("audio", 22, 960 * 22)
    client.pump()
    before = line.stats()
    assert (before.packets_received, before.lost) == (21, 2)
    clock.advance(1)
    invent(client, MAX_STREAMS + 5)
    clock.advance(6)
    # The described source has been silent longest, but all the others go first.
    invent(client, MAX_STREAMS - 1, start=60_000)
    assert client.ssrcs["audio"] in path.streams
    assert line.stats().packets_received == 21 + (MAX_STREAMS - 1) + (MAX_STREAMS - 1)
    assert line.stats().lost == 2
    assert len(line.streams) == MAX_STREAMS
    clock.advance(6)
    invent(client, MAX_STREAMS, start=70_000)
    assert client.ssrcs["audio"] not in path.streams
    after = line.stats()
    assert (after.packets_received, after.lost) == (21 + 3 * MAX_STREAMS - 2, 2)
    # It may come back, and goes on from there: libsrtp has forgotten it as well.
    clock.advance(6)
    client.send_rtp("audio", 23, 960 * 23)
    client.pump()
    assert line.stats().packets_received == (after.packets_received or 0) + 1


async def test_sources_of_no_m_line_take_no_memory(call: Call) -> None:
    client, handle = call()
    path = handle.peer.path
    forgotten: list[int] = []
    path.sources._forget = forgotten.append
    for index in range(100):
        client.send_rtp("audio", index, 0, ssrc=INVENTED + index, payload_type=77)
        client.pump()
    assert not path.streams
    assert forgotten == list(range(INVENTED, INVENTED + 100))


async def test_what_is_forgotten_begins_anew(call: Call) -> None:
    client, handle = call()
    again = client.rtp("audio", 5, 960, ssrc=INVENTED)
    for _ in range(2):
        client.send(again)
        client.pump()
    path = handle.peer.path
    assert path.streams[INVENTED].packets == 1
    path.sources._evict(INVENTED)
    # A replay to libsrtp until it has forgotten the source.
    client.send(again)
    client.pump()
    assert path.streams[INVENTED].packets == 1
    assert handle.peer.lines[0].stats().packets_received == 2


async def test_retransmission_sources_are_bounded_too(call: Call) -> None:
    client, handle = call(
        extra={"video": ["a=rtpmap:97 rtx/90000", "a=fmtp:97 apt=96", f"a=extmap:3 {twcc.EXTENSION}"]},
        formats={"video": " 97"},
    )
    for index in range(100):
        client.send_rtp("video", index, 0, bytes(40), ssrc=INVENTED + index, payload_type=97)
        client.pump()
    sources = handle.peer.path.sources
    assert len(sources._repairs_heard) == MAX_STREAMS
    client.send_rtp("video", 1, 3000)
    client.pump()
    assert len(handle.peer.path.streams) == 1
    assert len(sources._repairs_heard) == MAX_STREAMS - 1
