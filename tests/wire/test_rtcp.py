import aiortc.rtp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.wire import rtcp
from appliance.wire.rtcp import (
    App,
    Bye,
    ExtendedReport,
    Fir,
    Nack,
    Packet,
    Pli,
    ReceiverReport,
    Remb,
    ReportBlock,
    RtcpDecodeError,
    Sdes,
    SdesChunk,
    SenderReport,
    TransportFeedback,
    Unknown,
)
from appliance.wire.rtcp.packet import framed

BYTE = st.integers(0, 255)
SHORT = st.integers(0, 65535)
WORD = st.integers(0, 2**32 - 1)
WORDS = st.binary(max_size=40).map(lambda data: data[: len(data) // 4 * 4])
BLOCKS = st.builds(
    ReportBlock,
    ssrc=WORD,
    fraction_lost=BYTE,
    packets_lost=st.integers(-(2**23), 2**23 - 1),
    highest_sequence=WORD,
    jitter=WORD,
    lsr=WORD,
    dlsr=WORD,
)
REPORTS = st.lists(BLOCKS, max_size=31).map(tuple)
CHUNKS = st.builds(
    SdesChunk, WORD, st.lists(st.tuples(st.integers(1, 255), st.binary(max_size=255)), max_size=3).map(tuple)
)
PACKETS: st.SearchStrategy[Packet] = st.one_of(
    st.builds(
        SenderReport,
        ssrc=WORD,
        ntp_time=st.integers(0, 2**64 - 1),
        rtp_timestamp=WORD,
        packet_count=WORD,
        octet_count=WORD,
        reports=REPORTS,
        extension=WORDS,
    ),
    st.builds(ReceiverReport, ssrc=WORD, reports=REPORTS, extension=WORDS),
    st.builds(Sdes, chunks=st.lists(CHUNKS, max_size=5).map(tuple)),
    st.builds(
        Bye,
        ssrcs=st.lists(WORD, max_size=31).map(tuple),
        reason=st.none() | st.text(st.characters(codec="utf-8"), max_size=60),
    ),
    st.builds(App, subtype=st.integers(0, 31), ssrc=WORD, name=st.binary(min_size=4, max_size=4), data=WORDS),
    st.builds(Pli, sender_ssrc=WORD, media_ssrc=WORD),
    st.builds(Fir, sender_ssrc=WORD, media_ssrc=WORD, entries=st.lists(st.tuples(WORD, BYTE), max_size=5).map(tuple)),
    st.builds(
        Remb,
        sender_ssrc=WORD,
        media_ssrc=WORD,
        bitrate_bps=st.tuples(st.integers(0, 2**18 - 1), st.integers(0, 45)).map(lambda pair: pair[0] << pair[1]),
        ssrcs=st.lists(WORD, max_size=20).map(tuple),
    ),
    st.builds(TransportFeedback, sender_ssrc=WORD, media_ssrc=WORD, control=WORDS),
    st.builds(ExtendedReport, ssrc=WORD, blocks=WORDS, reserved=st.integers(0, 31)),
    st.builds(Unknown, packet_type=st.sampled_from([192, 195, 208, 223]), count=st.integers(0, 31), body=WORDS),
)


@given(st.lists(PACKETS, min_size=1, max_size=6))
def test_what_is_built_reads_the_same(packets: list[Packet]) -> None:
    data = rtcp.build_compound(packets)
    assert rtcp.parse_compound(data) == packets
    assert rtcp.parse_compound(memoryview(data)) == packets


@given(st.lists(SHORT, max_size=80), WORD, WORD)
def test_a_nack_keeps_the_numbers(lost: list[int], sender: int, media: int) -> None:
    [packet] = rtcp.parse_compound(Nack(sender_ssrc=sender, media_ssrc=media, lost=tuple(lost)).build())
    assert isinstance(packet, Nack)
    assert set(packet.lost) == set(lost)
    assert (packet.sender_ssrc, packet.media_ssrc, packet.capped) == (sender, media, False)


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        ((10,), "000a0000"),
        ((10, 11, 26), "000a8001"),
        ((10, 27), "000a0000001b0000"),
        ((65535, 0, 15), "ffff8001"),
        ((), ""),
    ],
)
def test_a_nack_packs_seventeen_numbers_a_word(lost: tuple[int, ...], words: str) -> None:
    data = Nack(sender_ssrc=1, media_ssrc=2, lost=lost).build()
    assert data[12:].hex() == words
    [theirs] = aiortc.rtp.RtcpPacket.parse(data)
    assert [number & 0xFFFF for number in theirs.lost] == list(lost)  # aiortc does not wrap


def test_a_nack_that_asks_for_everything_is_capped() -> None:
    data = framed(205, 1, bytes(8) + bytes.fromhex("0001ffff") * 300)
    [packet] = rtcp.parse_compound(data)
    assert isinstance(packet, Nack)
    assert len(packet.lost) == rtcp.MAX_LOST
    assert packet.capped


def test_a_sender_report_as_aiortc_writes_it() -> None:
    theirs = aiortc.rtp.RtcpSrPacket(
        ssrc=0x01020304,
        sender_info=aiortc.rtp.RtcpSenderInfo(
            ntp_timestamp=0x0123456789ABCDEF, rtp_timestamp=7, packet_count=8, octet_count=9
        ),
        reports=[
            aiortc.rtp.RtcpReceiverInfo(
                ssrc=5, fraction_lost=64, packets_lost=-3, highest_sequence=70000, jitter=11, lsr=12, dlsr=13
            )
        ],
    )
    [packet] = rtcp.parse_compound(bytes(theirs))
    assert packet == SenderReport(
        ssrc=0x01020304,
        ntp_time=0x0123456789ABCDEF,
        rtp_timestamp=7,
        packet_count=8,
        octet_count=9,
        reports=(
            ReportBlock(ssrc=5, fraction_lost=64, packets_lost=-3, highest_sequence=70000, jitter=11, lsr=12, dlsr=13),
        ),
    )
    assert packet.build() == bytes(theirs)
    assert isinstance(packet, SenderReport)
    assert packet.lsr == 0x456789AB


def test_source_description_and_goodbye_as_aiortc_writes_them() -> None:
    chunk = aiortc.rtp.RtcpSourceInfo(ssrc=7, items=[(1, b"someone"), (6, b"tool")])
    theirs = bytes(aiortc.rtp.RtcpSdesPacket(chunks=[chunk])) + bytes(aiortc.rtp.RtcpByePacket(sources=[7, 8]))
    description, goodbye = rtcp.parse_compound(theirs)
    assert description == Sdes(chunks=(SdesChunk(7, ((1, b"someone"), (6, b"tool"))),))
    assert isinstance(description, Sdes)
    assert description.chunks[0].cname == "someone"
    assert goodbye == Bye(ssrcs=(7, 8))
    assert goodbye.build() == theirs[-12:]


def test_remb_as_aiortc_writes_it() -> None:
    control = aiortc.rtp.pack_remb_fci(2_500_000, [3, 4])
    theirs = bytes(aiortc.rtp.RtcpPsfbPacket(fmt=15, ssrc=1, media_ssrc=0, fci=control))
    [packet] = rtcp.parse_compound(theirs)
    assert isinstance(packet, Remb)
    assert packet.ssrcs == (3, 4)
    assert packet.bitrate_bps == pytest.approx(2_500_000, rel=2**-17)
    assert aiortc.rtp.unpack_remb_fci(packet.build()[12:]) == (packet.bitrate_bps, [3, 4])


def test_sdes_cname_is_what_a_compound_needs() -> None:
    [packet] = rtcp.parse_compound(rtcp.sdes_cname(9, "appliance").build())
    assert packet == Sdes(chunks=(SdesChunk(9, ((1, b"appliance"),)),))
    assert SdesChunk(9, ()).cname is None


@pytest.mark.parametrize(("lost", "kept"), [(2**23, 2**23 - 1), (-(2**23) - 1, -(2**23))])
def test_cumulative_loss_stays_at_its_bounds(lost: int, kept: int) -> None:
    block = ReportBlock(ssrc=1, fraction_lost=0, packets_lost=lost, highest_sequence=0, jitter=0)
    [packet] = rtcp.parse_compound(ReceiverReport(ssrc=2, reports=(block,)).build())
    assert isinstance(packet, ReceiverReport)
    assert packet.reports[0].packets_lost == kept


def test_padding_is_taken_off_the_last_packet() -> None:
    pli = Pli(sender_ssrc=1, media_ssrc=2).build()
    padded = b"\xa1\xce\x00\x03" + pli[4:] + b"\0\0\0\4"
    assert rtcp.parse_compound(pli + padded) == [Pli(sender_ssrc=1, media_ssrc=2)] * 2


def test_other_feedback_is_kept_raw() -> None:
    data = framed(206, 2, bytes(12)) + framed(205, 3, bytes(16)) + framed(206, 15, bytes(12))
    packets = rtcp.parse_compound(data)
    assert [(packet.packet_type, packet.count) for packet in packets if isinstance(packet, Unknown)] == [
        (206, 2),
        (205, 3),
        (206, 15),
    ]
    assert rtcp.build_compound(packets) == data


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        ("", "compound is empty, wanted at least one packet"),
        ("80c9", "2 bytes are left at byte 0, wanted at least 4"),
        ("40c90000", "version at byte 0 is 1, wanted 2"),
        ("80600000", "packet type at byte 0 is 96, wanted 192..223"),
        ("80c90001", "packet at byte 0 has 8 bytes, wanted at most 4"),
        ("81c9000100000001", "receiver report has 4 bytes after the header, wanted at least 28"),
        ("80c8000100000001", "sender report has 4 bytes after the header, wanted at least 24"),
        ("a0c900010000000180c9000100000001", "packet at byte 0 is padded, wanted padding in the last one only"),
        ("a0c9000100000000", "padding is 0 bytes, wanted a multiple of 4 within 4..4"),
        ("a0c9000100000008", "padding is 8 bytes, wanted a multiple of 4 within 4..4"),
        ("a0c9000100000003", "padding is 3 bytes, wanted a multiple of 4 within 4..4"),
        ("81ca000100000001", "SDES chunk has 4 bytes after the header, wanted at least 8"),
        ("81ca00020000000101056161", "SDES item 1 has 8 bytes after the header, wanted at least 11"),
        ("81ca00020000000101026161", "SDES chunk of 0x00000001 ends without its null octet"),
        ("82cb000100000001", "BYE has 4 bytes after the header, wanted at least 8"),
        ("81cb00020000000104616161", "BYE reason has 8 bytes after the header, wanted at least 9"),
        ("80cc000100000001", "APP has 4 bytes after the header, wanted at least 8"),
        ("81cd000100000001", "transport feedback has 4 bytes after the header, wanted at least 8"),
        ("81ce000100000001", "payload feedback has 4 bytes after the header, wanted at least 8"),
        ("84ce0003000000010000000200000003", "FIR has 4 bytes of entries, wanted a multiple of 8"),
        ("8fce0003000000010000000052454d42", "REMB has 12 bytes after the header, wanted at least 16"),
        (
            "8fce0004000000010000000052454d42ff000000",
            "REMB of 255 sources has 16 bytes after the header, wanted at least 1036",
        ),
        ("80cf0000", "extended report has 0 bytes after the header, wanted at least 4"),
        ("80c9000100000001" * 65, "compound has more than 64 packets"),
    ],
)
def test_a_refusal_names_field_value_and_what_was_wanted(data: str, wanted: str) -> None:
    with pytest.raises(RtcpDecodeError) as caught:
        rtcp.parse_compound(bytes.fromhex(data))
    assert str(caught.value) == wanted


@given(st.lists(PACKETS, min_size=1, max_size=3), st.data())
def test_every_truncation_of_the_last_packet_is_refused(packets: list[Packet], data: st.DataObject) -> None:
    whole = rtcp.build_compound(packets)
    last = len(packets[-1].build())
    size = data.draw(st.integers(len(whole) - last + 1, len(whole) - 1))
    with pytest.raises(RtcpDecodeError):
        rtcp.parse_compound(whole[:size])


@given(st.binary(max_size=120), st.sampled_from(range(200, 208)), st.integers(0, 63))
def test_arbitrary_bytes_raise_nothing_else(body: bytes, packet_type: int, count: int) -> None:
    framed = bytes((0x80 | count, packet_type)) + (len(body) // 4).to_bytes(2, "big") + body[: len(body) // 4 * 4]
    for data in (body, framed):
        try:
            packets = rtcp.parse_compound(data)
        except RtcpDecodeError:
            continue
        assert rtcp.parse_compound(rtcp.build_compound(packets))


def test_builders_refuse_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r"count of packet type 203 is 32, wanted 0\.\.31"):
        Bye(ssrcs=(1,) * 32).build()
    with pytest.raises(ValueError, match="body of packet type 204 has 9 bytes, wanted a multiple of 4"):
        App(subtype=0, ssrc=1, name=b"abcd", data=b"x").build()
