"""Nothing that is to be hidden reaches a capture server, and what stands for it is the same everywhere."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from appliance.core.events import (
    CandidateAddress,
    Connection,
    DtlsState,
    Event,
    External,
    Handle,
    LocalCandidate,
    PairCounters,
    PairStats,
    Plugin,
    RemoteCandidate,
    ReportBlock,
    RtcpReport,
    SelectedPair,
)
from appliance.handlers.hep.masking import Masker, parse_words
from appliance.handlers.hep.outgoing import Outgoing
from tests.handlers.hep_calls import CASES, api_events, jsep, mapper, of_handle, pair, play, stored, trace, verdict
from tests.handlers.test_hep_handler import handler

KEY = b"0123456789abcdef"
CLIENT, SERVER, SIX = "203.0.113.5", "198.51.100.20", "2001:db8:77::5"
SDP = (
    f"v=0\r\no=carol 1 1 IN IP4 {CLIENT}\r\ns=Carol's call\r\nc=IN IP6 {SIX}\r\n"
    "a=ice-ufrag:Fr4g\r\na=ice-pwd:passwordpasswordpassword\r\n"
    f"a=candidate:1 1 udp 1 {CLIENT} 50000 typ host raddr {SIX} rport 9 ufrag Fr4g\r\n"
    "a=candidate:2 1 udp 1 0f3a-11.local 50000 typ host\r\n"
)
SIP = (
    f"INVITE sip:dave@{SERVER} SIP/2.0\r\nVia: SIP/2.0/UDP {CLIENT}:5062;branch=z9hG4bK1\r\n"
    f'From: "Carol Doe" <sip:carol@{CLIENT}>;tag=1\r\nTo: Dave Roe <sip:dave@{SERVER}>\r\nCall-ID: sip-1\r\n'
    f"CSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContact: <sip:carol@{CLIENT}:5062>\r\nContent-Type: application/sdp\r\n"
    f"Content-Length: {len(SDP)}\r\n\r\n{SDP}"
)
ORIGINALS = {
    "addresses": (CLIENT, SERVER, SIX, "192.0.2.10", "0f3a-11"),
    "ice": ("Fr4g", "passwordpasswordpassword"),
    "names": ("carol", "Carol", "dave", "Dave", "opq-7"),
}


def masker(words: str = "all") -> Masker:
    return Masker(parse_words(words), KEY)


def call() -> list[Event]:
    """Every place where something to hide may be."""
    ends = CandidateAddress(SERVER, 1, "host"), CandidateAddress(SIX, 2, "srflx", family=6)
    explained = verdict()
    explained.data["sentence"] = f"carol-phone opq-7 at {CLIENT} and [{SIX}]:500 was lost"
    events = [
        *api_events(port=40000, local_ip=SERVER, local_port=8188),
        of_handle(Handle(name="attached", plugin="janus.plugin.sip", opaque_id="opq-7"), 1),
        of_handle(
            Plugin(plugin="janus.plugin.sip", data={"room": 7, "display": "Carol", "x": {"username": "carol"}}), 2
        ),
        of_handle(jsep("remote", "offer", SDP), 3),
        of_handle(jsep("local", "answer", SDP), 4),
        of_handle(RemoteCandidate(candidate=f"7 1 udp 1 {SIX} 5 typ host ufrag Fr4g"), 5),
        of_handle(LocalCandidate(candidate=f"8 1 udp 1 {SERVER} 5 typ host"), 5),
        of_handle(SelectedPair(pair=f"{SERVER}:1 [host,udp] <-> {SIX}:2 [srflx,udp]"), 6),
        of_handle(pair(), 6),
        of_handle(PairCounters(pairs=(PairStats(local=ends[0], remote=ends[1]),)), 7),
        of_handle(Plugin(plugin="janus.plugin.sip", data={"event": "sip-in", "sip": SIP}), 8),
        of_handle(Plugin(plugin="p", data={"who": "this is opq-7", CLIENT: [[f"x={CLIENT}"]]}), 8),
        of_handle(DtlsState(dtls="connected"), 9),
        of_handle(External(schema="other", data={"ufrag": "Fr4g", "note": f"peer {CLIENT}:50000"}), 10),
        of_handle(explained, 11),
        of_handle(Handle(name="detached", plugin="p"), 12),
    ]
    explained.data["sentence"] = explained.data["sentence"].replace("carol-phone ", "")
    return [replace(item, opaque_id="opq-7") if item.handle_id else item for item in events]


def told(events: Iterable[Event], **changes: Any) -> str:
    """All packets, as text."""
    target = mapper(**changes)
    messages: list[Outgoing] = [*play(target, events), *target.flush()]
    rows = stored(messages)
    return "\n".join(map(str, rows))


@pytest.mark.parametrize("word", ["addresses", "ice", "names"])
def test_no_original_leaks(word: str) -> None:
    clear, hidden = told(call()), told(call(), masker=masker(word))
    for original in ORIGINALS[word]:
        assert original in clear, "the story has it"
        assert original not in hidden
    others = [original for other, group in ORIGINALS.items() if other != word for original in group]
    assert all(original in hidden for original in others), "only what was asked for"


def test_all_three_at_once() -> None:
    hidden = told(call(), masker=masker())
    assert not [original for group in ORIGINALS.values() for original in group if original in hidden]


def test_what_stands_for_a_value_is_the_same_everywhere() -> None:
    one = masker()
    rows = stored([*play(target := mapper(masker=one), call()), *target.flush()])
    client = one.address(CLIENT)
    assert {row.src for row in rows} >= {client, one.address("192.0.2.10")}
    offer = next(row.payload for row in rows if row.payload.startswith("INVITE") and "X-Synthetic" in row.payload)
    assert f"candidate:1 1 udp 1 {client} 50000" in offer
    fragment = re.search(r"a=ice-ufrag:(\S+)", offer)
    assert fragment is not None and f"ufrag {fragment[1]}" in offer
    name = one.word("name-", "opq-7")
    assert f"<sip:{name}@" in offer and f"X-User: {name}\r\n" in offer
    log = next(json.loads(row.payload) for row in rows if row.payload_type == 100)
    assert log["emitter"] == "gw-1"
    assert one.word("name-", "Carol") in offer


def test_reports_logs_and_verdict_have_the_same_masks() -> None:
    """Every kind of message of a call: the HEP addresses of its RTCP, the log of its pair, what the verdict says."""
    one = masker()
    report = RtcpReport(direction="in", packet_type=201, ssrc=7, blocks=(ReportBlock(1, 2, 3, 4, 5, 6, 7),))
    explained = verdict()
    explained.data["sentence"] = f"nothing came from {CLIENT}"
    bodies = [pair(SERVER, CLIENT), report, explained, Connection(connection="hangup", reason="ICE failed")]
    target = mapper(masker=one)
    before = [*api_events(ip=CLIENT), of_handle(jsep("remote", "offer", SDP), 1)]
    events = [*before, *(of_handle(body, number) for number, body in enumerate(bodies, 2))]
    rows = stored([*play(target, events), *target.flush()])
    masked = one.address(CLIENT)
    (rtcp,) = [row for row in rows if row.payload_type == 5]
    assert (rtcp.src, rtcp.dst) == (masked, one.address(SERVER))
    told = [row.payload for row in rows if row.payload_type == 100]
    assert any(f'"address":"{masked}"' in text for text in told)
    assert any(f"nothing came from {masked}" in text for text in told)
    (bye,) = [row.payload for row in rows if row.payload.startswith("BYE")]
    assert f"nothing came from {masked}" in bye
    assert {row.src for row in rows if row.payload.startswith("INVITE")} == {masked}
    assert CLIENT not in str(rows)


def test_a_real_sip_message_has_the_length_that_it_has_now() -> None:
    rows = stored(play(mapper(masker=masker()), call()))
    raw = next(row for row in rows if row.correlation_id == "sip-1")
    head, _, body = raw.payload.partition("\r\n\r\n")
    assert f"Content-Length: {len(body)}" in head
    assert (raw.src, raw.src_port) == (masker().address(CLIENT), 5062)


def test_keys_decide() -> None:
    assert masker().address(CLIENT) == masker().address(CLIENT)
    assert Masker(parse_words("all"), b"another key of 16").address(CLIENT) != masker().address(CLIENT)


@pytest.mark.parametrize(
    "text", ["127.0.0.1", "0.0.0.0", "::1", "::", "1.2.3", "12:34:56", "AA:BB:CC:DD:EE:FF", "999.1.1.1"]
)
def test_what_is_no_ones_address_stays(text: str) -> None:
    assert masker("addresses").text(f"at {text} now") == f"at {text} now"


def test_masks_of_masks_are_masks() -> None:
    one = masker("addresses")
    for address in (CLIENT, SIX, f"::ffff:{CLIENT}"):
        masked = one.text(address)
        assert masked != address
        assert one.text(masked) == masked


@settings(deadline=None)
@given(st.ip_addresses())
def test_any_address_becomes_one_where_nobody_lives(address: Any) -> None:
    masked = masker("addresses").address(str(address))
    if address.is_loopback or address.is_unspecified:
        assert masked == str(address)
    elif address.version == 4:
        assert 240 <= int(masked.split(".")[0]) <= 255
    else:
        assert masked.startswith(("fd6d:6173:6b", "::ffff:"))


@pytest.mark.parametrize("case", CASES)
def test_recorded_calls_are_stored_masked(case: str) -> None:
    """Every body survives being masked, and no recorded opaque id or password is left."""
    events = trace(case)
    hidden = told(events, masker=masker())
    secrets = {item.opaque_id for item in events if item.opaque_id}
    secrets |= set(re.findall(r"a=ice-pwd:([^\\\s]+)", told(events)))
    assert secrets
    assert not [secret for secret in secrets if secret in hidden]


def test_wrong_settings_are_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown word 'adresses'; known: addresses, ice, names"):
        handler(mask="adresses")
    with pytest.raises(ValueError, match="wanted 16 to 64"):
        Masker(parse_words("all"), b"short")


async def test_a_short_key_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("short\n")
    with pytest.raises(ValueError, match="key: 5 bytes came"):
        await handler(mask="all", mask_key_file=str(tmp_path / "key")).start()
