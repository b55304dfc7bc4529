import aiortc.sdp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.wire.candidate import Candidate, CandidateDecodeError

HOST = "candidate:1467250027 1 udp 2122260223 192.168.0.196 46243 typ host generation 0 ufrag EsAw network-id 1"
RELAYED = "candidate:3 1 UDP 1694498815 2001:db8::7 0 typ relay raddr 10.0.0.1 rport 65535"
TCP = "candidate:4 2 tcp 1518280447 10.0.0.1 9 typ host tcptype active"
MDNS = "candidate:2 1 udp 2113937151 6b4ad0ae-3a58-4d14-8a4d-1c9ab3b4c1d1.local 54321 typ host"

CANDIDATES = st.builds(
    Candidate,
    foundation=st.from_regex(r"[A-Za-z0-9+/]{1,32}", fullmatch=True),
    component=st.integers(1, 256),
    transport=st.sampled_from(["udp", "tcp"]),
    priority=st.integers(0, 2**32 - 1),
    address=st.ip_addresses().map(str) | st.just("a-1.local"),
    port=st.integers(0, 65535),
    type=st.sampled_from(["host", "srflx", "prflx", "relay"]),
    related_address=st.none() | st.ip_addresses().map(str),
    related_port=st.none() | st.integers(0, 65535),
    tcp_type=st.none() | st.sampled_from(["active", "passive", "so"]),
    generation=st.none() | st.integers(0, 9),
    ufrag=st.none() | st.from_regex(r"[A-Za-z0-9+/]{4,8}", fullmatch=True),
    extensions=st.lists(st.tuples(st.sampled_from(["network-id", "x"]), st.sampled_from(["1", "zz"])), max_size=2).map(
        tuple
    ),
)


def test_a_candidate_of_chromium() -> None:
    candidate = Candidate.parse(HOST)
    assert candidate == Candidate(
        foundation="1467250027",
        component=1,
        transport="udp",
        priority=2122260223,
        address="192.168.0.196",
        port=46243,
        type="host",
        generation=0,
        ufrag="EsAw",
        extensions=(("network-id", "1"),),
    )
    assert candidate.to_sdp() == HOST
    assert not candidate.is_mdns


@pytest.mark.parametrize("prefix", ["", "candidate:", "a=candidate:"])
def test_the_prefix_may_be_absent(prefix: str) -> None:
    assert Candidate.parse(prefix + HOST.removeprefix("candidate:")) == Candidate.parse(HOST)


def test_relayed_tcp_and_mdns() -> None:
    relayed = Candidate.parse(RELAYED)
    assert (relayed.transport, relayed.related_address, relayed.related_port) == ("udp", "10.0.0.1", 65535)
    assert Candidate.parse(TCP).tcp_type == "active"
    assert Candidate.parse(MDNS).is_mdns


@pytest.mark.parametrize("text", [HOST, RELAYED, TCP])
def test_aiortc_reads_the_same(text: str) -> None:
    theirs = aiortc.sdp.candidate_from_sdp(text.removeprefix("candidate:"))
    ours = Candidate.parse(text)
    assert (theirs.foundation, theirs.component, theirs.protocol.lower(), theirs.priority) == (
        ours.foundation,
        ours.component,
        ours.transport,
        ours.priority,
    )
    assert (theirs.ip, theirs.port, theirs.type) == (ours.address, ours.port, ours.type)
    assert (theirs.relatedAddress, theirs.relatedPort, theirs.tcpType) == (
        ours.related_address,
        ours.related_port,
        ours.tcp_type,
    )


@given(CANDIDATES)
def test_what_is_written_reads_the_same(candidate: Candidate) -> None:
    assert Candidate.parse(candidate.to_sdp()) == candidate


def changed(position: int, value: str) -> str:
    words = HOST.split(" ")
    words[position] = value
    return " ".join(words)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "candidate '' has 1 fields, wanted at least 8"),
        ("candidate:x", "candidate 'candidate:x' has 1 fields, wanted at least 8"),
        (changed(1, "b"), "component is 'b', wanted 1..256"),
        (changed(0, "candidate:a_b"), "foundation is 'a_b', wanted 1..32 letters, digits, + or /"),
        (changed(1, "0"), "component is '0', wanted 1..256"),
        (changed(1, "257"), "component is '257', wanted 1..256"),
        (changed(2, "ssltcp"), "transport is 'ssltcp', wanted udp or tcp"),
        (changed(3, "-1"), "priority is '-1', wanted 0..4294967295"),
        (changed(3, "4294967296"), "priority is '4294967296', wanted 0..4294967295"),
        (changed(4, "foo.bar"), "address is 'foo.bar', wanted an IP address or a .local name"),
        (changed(4, "1.2.3"), "address is '1.2.3', wanted an IP address or a .local name"),
        (changed(4, "-.local"), "address is '-.local', wanted an IP address or a .local name"),
        (changed(5, "99999"), "port is '99999', wanted 0..65535"),
        (changed(5, "١"), "candidate is "),
        (changed(6, "type"), "seventh field is 'type', wanted 'typ'"),
        (changed(7, "magic"), "type is 'magic', wanted host, srflx, prflx or relay"),
        (HOST + " odd", "extension 'odd' has no value, wanted pairs of name and value"),
        (RELAYED.replace("65535", "70000"), "rport is '70000', wanted 0..65535"),
        (RELAYED.replace("10.0.0.1", "x"), "raddr is 'x', wanted an IP address or a .local name"),
        (TCP.replace("active", "lazy"), "tcptype is 'lazy', wanted active, passive or so"),
        (HOST.replace("generation 0", "generation x"), "generation is 'x', wanted 0..4294967295"),
        (HOST + "\ra=x y", "candidate is "),
        ("c" * 1025, "candidate has 1025 characters, wanted at most 1024"),
    ],
)
def test_a_refusal_names_field_value_and_what_was_wanted(text: str, wanted: str) -> None:
    with pytest.raises(CandidateDecodeError) as caught:
        Candidate.parse(text)
    assert str(caught.value).startswith(wanted)


@pytest.mark.parametrize("text", [HOST, RELAYED, TCP, MDNS])
def test_every_truncation_within_the_mandatory_part_is_refused(text: str) -> None:
    mandatory = text.index(" typ ") + 8
    for size in range(mandatory):
        with pytest.raises(CandidateDecodeError):
            Candidate.parse(text[:size])


@given(st.text(max_size=150), st.integers(0, 100), st.sampled_from([HOST, RELAYED, TCP, MDNS]))
def test_arbitrary_text_raises_nothing_else(text: str, position: int, whole: str) -> None:
    for candidate in (text, whole[:position] + text + whole[position:], whole[:position] + text[:2]):
        try:
            read = Candidate.parse(candidate)
        except CandidateDecodeError:
            continue
        assert Candidate.parse(read.to_sdp()) == read
