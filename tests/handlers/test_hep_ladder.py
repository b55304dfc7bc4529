"""What Homer shows of a call beyond its messages: who and where, the steps between, the legs that belong together."""

import json
import re
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from appliance.core.events import (
    KINDS,
    DtlsState,
    EndOfCandidates,
    Event,
    Handle,
    IceState,
    LocalCandidate,
    MediaStats,
    Plugin,
    RemoteCandidate,
    RttValues,
    Unknown,
)
from appliance.handlers.hep.document import table
from appliance.handlers.hep.kinds import RULES, Ends, rule
from tests.handlers.hep_calls import CALL, api_events, jsep, mapper, of_handle, pair, play, sip, stored, trace

SDP = "v=0\r\na=ice-ufrag:one\r\na=candidate:1 1 udp 1 192.0.2.7 5000 typ host\r\n"


def rungs(*bodies: Any, **changes: Any) -> list[dict[str, Any]]:
    target = mapper(**changes)
    play(target, [*api_events(), of_handle(jsep("remote", "offer", SDP)), of_handle(jsep("local", "answer", SDP))])
    return sip(play(target, [of_handle(body, 10 + number) for number, body in enumerate(bodies)]))


def test_candidates_that_came_later_are_shown_once() -> None:
    late = "2 1 udp 1 192.0.2.8 5001 typ host ufrag one"
    shown = rungs(
        RemoteCandidate(candidate="9 1 UDP 7 192.0.2.7 5000 typ host generation 0"),
        RemoteCandidate(candidate=late),
        RemoteCandidate(candidate="candidate:" + late),
        RemoteCandidate(candidate="3 1 udp 1 192.0.2.9 5002 typ prflx"),
        LocalCandidate(candidate="4 1 udp 1 198.51.100.20 10000 typ host"),
        EndOfCandidates(count=2),
    )
    assert [(m["first"].partition(" ")[0], m["subject"], m["body"]) for m in shown] == [
        ("INFO", "trickled candidate", f"a=candidate:{late}\r\n"),
        ("INFO", "trickled candidate", "a=candidate:4 1 udp 1 198.51.100.20 10000 typ host\r\n"),
        ("INFO", "end of candidates", "a=end-of-candidates\r\n"),
    ]
    assert [m["from"].rpartition("=")[2] for m in shown] == ["client", "gateway", "client"]
    assert {m["content-type"] for m in shown} == {"application/trickle-ice-sdpfrag"}
    assert {m["info-package"] for m in shown} == {"trickle-ice"}


def test_states_are_shown_when_they_change() -> None:
    states = [
        IceState(ice="connecting"),
        IceState(ice="connected"),
        IceState(ice="connected"),
        DtlsState(dtls="trying"),
    ]
    shown = rungs(*states, DtlsState(dtls="connected"), IceState(ice="disconnected"))
    assert [m["subject"] for m in shown] == ["ICE connected", "DTLS connected", "ICE disconnected"]
    assert [m["cseq"] for m in shown] == ["1 INFO", "2 INFO", "3 INFO"]
    assert rungs(IceState(ice="connected"), ladder_states=False) == []


def test_a_call_is_found_by_caller_room_and_names() -> None:
    joined = Plugin(plugin="janus.plugin.videoroom", data={"event": "joined", "room": 4321, "display": 'Jör "A"'})
    events = [*api_events(), of_handle(joined, opaque_id="me"), of_handle(jsep("remote", "offer"), 1, opaque_id="me")]
    messages = play(mapper(), events)
    (invite,) = sip(messages)
    assert invite["from"] == "\"Jör 'A'\" <sip:me@192.0.2.10>;tag=client"
    assert invite["to"] == '"echotest" <sip:4321@gw-1>'
    assert (invite["x-room"], invite["x-user"], invite["x-display-name"]) == ("4321", "me", 'Jör "A"')
    log = json.loads(stored(messages)[-2].payload)
    assert (log["room"], log["display"], log["opaque_id"]) == ("4321", 'Jör "A"', "me")


def test_all_legs_of_a_room_carry_the_call_id_of_the_first() -> None:
    messages = play(mapper(), trace("videoroom_http"))
    told = [message for message in sip(messages) if message.get("x-room") == "4321"]
    assert len({message["call-id"] for message in told}) == 4
    assert len({message["x-cid"] for message in told}) == 1
    assert told[0]["x-cid"] in {message["call-id"] for message in told}


def leg(handle: int, session: int, room: str | None = None) -> list[Event]:
    about: dict[str, Any] = {"handle_id": handle, "session_id": session, "correlation_id": f"c{handle}"}
    events = [of_handle(Handle(name="attached", plugin="p"), **about)]
    if room:
        events.append(of_handle(Plugin(plugin="p", data={"room": room}), **about))
    return [*events, of_handle(jsep("remote", "offer"), **about)]


def test_a_room_that_was_empty_is_another_meeting() -> None:
    target = mapper()
    gone = [
        of_handle(Handle(name="detached", plugin="p"), handle_id=handle, session_id=9, correlation_id=f"c{handle}")
        for handle in (1, 2)
    ]
    messages = play(target, [*leg(1, 9, "r"), *leg(2, 9, "r"), *gone, *leg(3, 9, "r"), *leg(4, 9), *leg(5, 9)])
    links = {message["call-id"]: message["x-cid"] for message in sip(messages) if message["first"].startswith("INVITE")}
    assert links == {"c1": "c1", "c2": "c1", "c3": "c3", "c4": "c4", "c5": "c4"}, "rooms, then one session"


RAW = (
    "INVITE sip:bob@198.51.100.9:5070 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.5:5062;branch=z9hG4bK1;received=203.0.113.9;"
    "rport=6000\r\nMax-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:bob@c>\r\nCall-ID: real-1\r\n"
    "CSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
)


def plugin_sip(text: str, event: str = "sip-in") -> Plugin:
    return Plugin(plugin="janus.plugin.sip", data={"event": event, "sip": text})


def test_real_sip_goes_out_as_it_is_under_its_own_call_id() -> None:
    rows = stored(play(mapper(), [of_handle(plugin_sip(RAW))]))
    assert [(row.payload_type, row.correlation_id) for row in rows] == [(100, CALL), (1, "real-1")]
    assert rows[1].payload == RAW
    ends = (rows[1].src, rows[1].src_port, rows[1].dst, rows[1].dst_port, rows[1].protocol)
    assert ends == ("203.0.113.9", 6000, "198.51.100.9", 5070, 17)


def test_a_real_response_goes_the_other_way() -> None:
    text = RAW.replace("INVITE sip:bob@198.51.100.9:5070 SIP/2.0", "SIP/2.0 200 OK", 1).replace("UDP 10", "TCP 10")
    text = text.replace("Max-Forwards: 70", "Contact: <sip:bob@[2001:db8::9]>")
    row = stored(play(mapper(), [of_handle(plugin_sip(text, "sip-out"))]))[1]
    mapped = str(ip_address("::ffff:203.0.113.9"))  # written in another way since Python 3.13
    assert (row.src, row.src_port, row.dst, row.protocol) == ("2001:db8::9", 5060, mapped, 6)


@pytest.mark.parametrize("text", ["", "nonsense", RAW.replace("Call-ID", "X"), RAW.replace("CSeq", "X"), "\0" + RAW])
def test_what_is_not_sip_is_an_event_alone(text: str) -> None:
    assert [row.payload_type for row in stored(play(mapper(), [of_handle(plugin_sip(text))]))] == [100]


def test_the_legs_of_a_sip_call_are_linked() -> None:
    calling = Plugin(plugin="janus.plugin.sip", data={"event": "calling", "call-id": "real-1"})
    messages = play(
        mapper(), [of_handle(jsep("remote", "offer")), of_handle(calling), of_handle(jsep("local", "answer"))]
    )
    assert [message["x-cid"] for message in sip(messages)] == [CALL, "real-1"]


def test_reports_made_from_statistics() -> None:
    first = MediaStats(
        media="audio", mid="0", base=48000, lost=2, packets_received=98, jitter_local=5,
        lost_by_remote=0, packets_sent=100, jitter_remote=10, rtt=40, rtt_values=RttValues(1, 2, 3),
    )  # fmt: skip
    second = MediaStats(media="audio", mid="0", base=48000, lost=12, packets_received=188, jitter_local=5)
    rows = stored(play(mapper(), [of_handle(pair()), of_handle(first, 1), of_handle(second, 2)]))
    made = [(row, json.loads(row.payload)) for row in rows if row.payload_type == 5]
    blocks = [report["report_blocks"][0] for _, report in made]
    assert [(b["fraction_lost"], b["packets_lost"], b["highest_seq_no"], b["ia_jitter"]) for b in blocks] == [
        (5, 2, 100, 240), (0, 0, 100, 480), (25, 12, 200, 240),
    ]  # fmt: skip
    assert [row.src for row, _ in made] == ["198.51.100.20", "203.0.113.5", "198.51.100.20"], "who would have sent it"
    assert made[1][1]["report_blocks_xr"] == {"round_trip_delay": 40}
    assert (blocks[1]["lsr"], blocks[1]["dlsr"]) == (2, 3)
    assert all(report["synthetic"] and "synthetic" in report["sdes_information"][0]["text"] for _, report in made)
    assert blocks[0]["source_ssrc"] == made[1][1]["ssrc"]


def test_a_server_that_tells_rtcp_needs_none_made_up() -> None:
    statistics = MediaStats(media="audio", mid="0", base=48000, lost=2, packets_received=98, has_reports=False)
    assert [row.payload_type for row in stored(play(mapper(), [of_handle(statistics)]))] == [100]


def test_every_kind_has_a_rule() -> None:
    assert set(RULES) == set(KINDS)
    assert len(table().splitlines()) == 2 + len(KINDS) + 1
    assert rule(Unknown).ends is Ends.API


def test_the_document_has_the_table_and_json_that_can_be_pasted() -> None:
    text = (Path(__file__).parent.parent.parent / "docs" / "homer.md").read_text("utf-8")
    assert table() in text
    blocks = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]
    rows = [row for block in blocks for row in block]
    assert {row["source_field"] for row in rows if "source_field" in row} >= {"data_header.callid_aleg"}
    assert {row["id"] for row in rows if "id" in row} >= {"data_header.callid_aleg", "data_header.contact_user"}
