import pytest

from appliance.core.errors import JanusError
from appliance.core.messages import (
    Candidate,
    Element,
    JsonError,
    Kind,
    find_problem,
    is_shallow,
    parse,
    read_candidate,
    read_envelope,
    read_jsep,
    read_trickle,
)


@pytest.mark.parametrize(
    ("text", "line", "detail"),
    [
        # The first two are Janus 1.4.1's own words for these texts.
        ("not json", 1, "'[' or '{' expected near 'not'"),
        ("this is not json", 1, "'[' or '{' expected near 'this'"),
        ("", 1, "'[' or '{' expected near end of file"),
        ("\n\n  42", 3, "'[' or '{' expected near '42'"),
        ('"text"', 1, "'[' or '{' expected near '\"text\"'"),
        ("null", 1, "'[' or '{' expected near 'null'"),
        ('{"janus":\n tru}', 2, "invalid character"),
        ('{"janus": "create"', 1, "Input data was truncated"),
        ('{"a": 1} trailing', 1, "trailing characters"),
        ('{"a":\n"b\\u0000c"}', 2, "\\u0000 is not allowed"),
        (r'{"a": "\\\u0000"}', 1, "\\u0000 is not allowed"),
    ],
)
def test_text_that_is_no_json_is_refused_with_its_place(text: str, line: int, detail: str) -> None:
    with pytest.raises(JsonError) as refusal:
        parse(text.encode())
    assert refusal.value.line == line
    assert str(refusal.value).startswith(f"on line {line}: {detail}")


def test_the_column_is_where_the_token_ends() -> None:
    # Janus 1.4.1: "Invalid Janus API request - <string>(1,4): '[' or '{' expected near 'this'"
    with pytest.raises(JsonError) as refusal:
        parse("this is not json")
    assert refusal.value.column == 4


@pytest.mark.parametrize("text", [b"\xff\xfe{}", b'{"a": "\xff"}', b'{"a": "\\ud800"}', b"[1e999]", b'["a\x01b"]'])
def test_what_is_no_text_is_refused(text: bytes) -> None:
    with pytest.raises(JsonError):
        parse(text)


@pytest.mark.parametrize("big", [2**63, -(2**63) - 1, 10**30, 2**1000])
def test_an_integer_that_takes_more_than_64_bits_is_refused(big: int) -> None:
    for text in (f'{{"body": {{"bitrate": {big}}}}}', f'{{"a": [{{"b": [1, {big}]}}]}}', f"[{big}]"):
        with pytest.raises(JsonError, match="on line 1: too big integer"):
            parse(text)
    assert parse(f'{{"sdp": "o=- {big} 2", "most": {2**63 - 1}, "least": {-(2**63)}}}')


def test_a_backslash_before_u0000_is_no_nul() -> None:
    assert parse(r'{"a": "\\u0000"}') == {"a": r"\u0000"}


def test_depth_is_bounded() -> None:
    assert parse("[" * 33 + "]" * 33)
    with pytest.raises(JsonError, match="maximum parsing depth reached"):
        parse("[" * 34 + "]" * 34)
    with pytest.raises(JsonError, match="maximum parsing depth reached"):
        parse("[" * 100_000)
    assert is_shallow({"a": [{"b": 1}]}, 2)
    assert not is_shallow({"a": [{"b": 1}]}, 1)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (Kind.STRING, ["", "x"], [1, None, [], {}, True]),
        (Kind.INTEGER, [-1, 0, 1], [1.0, "1", None, True]),
        (Kind.POSITIVE, [0, 1], [-1, 1.5, True, None]),
        (Kind.BOOLEAN, [True, False], [0, 1, "true", None]),
        (Kind.OBJECT, [{}], [[], None, "{}"]),
        (Kind.ARRAY, [[]], [{}, None]),
    ],
)
def test_kinds(kind: Kind, good: list[object], bad: list[object]) -> None:
    element = (Element("x", kind),)
    assert all(find_problem(element, {"x": value}) is None for value in good)
    for value in bad:
        problem = find_problem(element, {"x": value})
        assert problem is not None
        assert problem.text == f"Invalid element type (x should be {kind.value})"
    assert find_problem(element, {}) is None


def test_an_id_that_is_no_integer_counts_as_absent() -> None:
    values: list[object] = ["5", None, 1.5, True, [], 2**70]
    for value in values:
        envelope = read_envelope({"janus": "Attach", "transaction": "t", "session_id": value, "handle_id": value})
        assert (envelope.verb, envelope.session_id, envelope.handle_id) == ("attach", 0, 0)
        assert envelope.names_handle == (value is not None)


@pytest.mark.parametrize(
    ("jsep", "code", "reason"),
    [
        (None, 455, "Invalid jsep object"),
        ([], 455, "Invalid jsep object"),
        ({}, 456, "JSEP error: missing mandatory element (type)"),
        ({"type": "offer"}, 456, "JSEP error: missing mandatory element (sdp)"),
        ({"type": 1, "sdp": "v=0"}, 467, "JSEP error: invalid element type (type should be a string)"),
        (
            {"type": "offer", "sdp": "v=0", "trickle": 1},
            467,
            "JSEP error: invalid element type (trickle should be a boolean)",
        ),
        ({"type": "bogus", "sdp": "v=0"}, 464, "JSEP error: unknown message type 'bogus'"),
        ({"type": "offer", "sdp": "v=bogus"}, 465, "Invalid v= line: v=bogus"),
        ({"type": "offer", "sdp": ""}, 465, "Invalid SDP (doesn't start with v=)"),
        ({"type": "offer", "sdp": "v=0\n" + "a" * 2000}, 465, "SDP of 2004 characters, at most 1000 are read"),
    ],
)
def test_a_bad_description_is_refused(jsep: object, code: int, reason: str) -> None:
    with pytest.raises(JanusError) as refusal:
        read_jsep(jsep, max_sdp_bytes=1000)
    assert (refusal.value.code, refusal.value.reason) == (code, reason)


@pytest.mark.parametrize(
    ("told", "layered"),
    [
        ([{"mid": "v", "svc": "L3T3"}, {"mindex": 2, "svc": "L2T1"}], {"v", 2}),
        ([{"mid": "v"}, {"svc": "L3T3"}, {"mid": "v", "svc": 3}, {"mid": [], "svc": "L3T3"}, "v", None], set()),
        ({"mid": "v", "svc": "L3T3"}, set()),
        ("L3T3", set()),
        (None, set()),
        ([{"mindex": number, "svc": "L3T3"} for number in range(100)], set(range(64))),
    ],
)
def test_what_is_sent_in_layers_is_read_as_far_as_it_can_be(told: object, layered: set[str | int]) -> None:
    jsep = {"type": "offer", "sdp": "v=0", "svc": told}
    assert read_jsep(jsep, max_sdp_bytes=1000).svc == layered


@pytest.mark.parametrize("item", [None, "x", [], {"completed": True}, {"completed": False, "candidate": "x"}])
def test_the_end_of_candidates(item: object) -> None:
    assert read_candidate(item) is None


@pytest.mark.parametrize(
    ("item", "code", "reason"),
    [
        ({"candidate": "c"}, 456, "Trickle error: missing mandatory element (sdpMid or sdpMLineIndex)"),
        ({"sdpMid": "0"}, 456, "Trickle error: missing mandatory element (candidate)"),
        (
            {"sdpMid": 0, "candidate": "c"},
            467,
            "Trickle error: invalid element type (sdpMid should be a string)",
        ),
        (
            {"sdpMLineIndex": -1, "candidate": "c"},
            467,
            "Trickle error: invalid element type (sdpMLineIndex should be a positive integer)",
        ),
        (
            {"sdpMid": "0", "candidate": 5},
            467,
            "Trickle error: invalid element type (candidate should be a string)",
        ),
    ],
)
def test_a_bad_candidate_is_refused(item: object, code: int, reason: str) -> None:
    with pytest.raises(JanusError) as refusal:
        read_candidate(item)
    assert (refusal.value.code, refusal.value.reason) == (code, reason)


def test_candidates_one_or_many() -> None:
    candidate = {"sdpMid": "a", "sdpMLineIndex": 0, "candidate": "candidate:1 1 udp 1 127.0.0.1 9 typ host"}
    assert read_candidate(candidate) == Candidate("candidate:1 1 udp 1 127.0.0.1 9 typ host", "a", 0)
    assert read_trickle({"candidate": None}) == ([None], False)
    assert read_trickle({"candidates": [1, 2]}) == ([1, 2], True)
