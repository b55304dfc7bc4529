"""Transport-wide feedback, held against tshark's reading of it."""

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.wire import rtcp, twcc
from appliance.wire.twcc import TwccFeedback
from tests.programs import need


def _cumulative(steps: list[int | None]) -> tuple[int | None, ...]:
    time = 100_000
    found: list[int | None] = []
    for step in steps:
        if step is not None:
            time += step
        found.append(None if step is None else time)
    return tuple(found)


arrivals = (
    st.lists(st.one_of(st.none(), st.integers(-300, 600)), min_size=1, max_size=60)
    .filter(lambda steps: any(step is not None for step in steps))
    .map(_cumulative)
)


@given(arrivals, st.integers(0, 0xFFFF), st.integers(0, 255))
def test_what_is_built_is_read_as_it_was(times: tuple[int | None, ...], base: int, number: int) -> None:
    feedback = TwccFeedback(base, number, times)
    data = feedback.build()
    assert len(data) % 4 == 0
    assert twcc.parse(data) == feedback


@given(st.binary(max_size=80))
def test_anything_is_read_or_refused(data: bytes) -> None:
    try:
        assert len(twcc.parse(data).arrivals) <= twcc.MAX_STATUSES
    except twcc.TwccDecodeError:
        pass


def test_every_truncation_is_refused() -> None:
    data = TwccFeedback(7, 1, (25_600, None, 26_900, 26_950, None, 26_000, 26_255)).build()
    whole = data.rstrip(b"\0")
    for size in range(len(whole)):
        with pytest.raises(twcc.TwccDecodeError):
            twcc.parse(data[:size])


@pytest.mark.parametrize(
    ("control", "message"),
    [
        (b"\0\1\0\0\0\0\0\0\0\0", "packet status count is 0"),
        (b"\0\1\xff\xff\0\0\0\0\0\0", "packet status count is 65535"),
        (b"\0\1\0\5\0\0\0\0\0\0", "run length is 0"),
        (b"\0\1\0\5\0\0\0\0\x20\5\1", "1 of 5 deltas"),
        (b"\0\1\0\x20\0\0\0\0\xbf\xff", "14 of 32 statuses"),
    ],
)
def test_nonsense_is_refused_by_name(control: bytes, message: str) -> None:
    with pytest.raises(twcc.TwccDecodeError, match=message):
        twcc.parse(control)


def test_a_long_run_costs_two_bytes() -> None:
    data = TwccFeedback(0, 0, (0, *(None,) * 4000, 200)).build()
    assert len(data) < 20


def test_what_is_out_of_range_is_not_built() -> None:
    with pytest.raises(ValueError, match="delta is 40000 ticks"):
        TwccFeedback(0, 0, (0, 40_000)).build()
    with pytest.raises(ValueError, match="feedback of 2 packets"):
        TwccFeedback(0, 0, (None, None)).build()


@pytest.mark.interop
@pytest.mark.parametrize(
    "times",
    [
        (64_000, 64_010, 64_250),
        (64_000, None, None, 64_900, 64_800, None, 64_810),
        tuple(64_000 + 40 * index if index % 3 else None for index in range(1, 40)),
        (64_100, *(None,) * 30, 64_300, *range(64_301, 64_340)),
    ],
)
def test_tshark_reads_the_same(times: tuple[int | None, ...], tmp_path: Path) -> None:
    packet = rtcp.TransportFeedback(sender_ssrc=1, media_ssrc=2, control=TwccFeedback(500, 9, times).build()).build()
    text, capture = tmp_path / "packet.txt", tmp_path / "packet.pcap"
    text.write_text("0000 " + packet.hex(" ") + "\n")
    subprocess.run(
        [Path(need("tshark")).parent / "text2pcap", "-q", "-u", "5005,5005", text, capture],
        check=True, capture_output=True,
    )  # fmt: skip
    command = [need("tshark"), "-r", str(capture), "-d", "udp.port==5005,rtcp", "-O", "rtcp", "-V"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "Malformed" not in shown
    assert "Base Sequence Number: 500" in shown
    assert f"Packet Status Count: {len(times)}" in shown
    assert "Feedback Packets Count: 9" in shown
    received = [(500 + at, tick) for at, tick in enumerate(times) if tick is not None]
    # [seq: 500] Recv delta : (Small delta) 2ms
    deltas = re.findall(r"seq: (\d+)\].*?(-?\d+(?:\.\d+)?) ?ms", shown)
    assert [int(number) for number, _ in deltas] == [number for number, _ in received]
    expected = [tick - before for (_, tick), before in zip(received, _before(received), strict=True)]
    assert [float(delta) for _, delta in deltas] == pytest.approx([delta / 4 for delta in expected], abs=0.76)


def _before(received: list[tuple[int, int]]) -> list[int]:
    """What each delta counts from: the reference time, then the packet before."""
    ticks = [tick for _, tick in received]
    return [ticks[0] // twcc.TICKS_PER_REFERENCE * twcc.TICKS_PER_REFERENCE, *ticks[:-1]]
