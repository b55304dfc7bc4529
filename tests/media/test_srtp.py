"""The contract with pylibsrtp: an upgrade that moves what :mod:`appliance.media.srtp` uses fails here."""

import pytest
from pylibsrtp import Policy, Session

from appliance.media import srtp

RTP = bytes.fromhex("8060000100000bb8000003e8") + b"payload" * 20
RTCP = bytes.fromhex("81c900070000000100000002000000000000000000000000000000000000000000")[:32]


def in_place(function: object, context: srtp.Context, packet: bytes) -> tuple[int, bytes]:
    buffer = bytearray(packet) + bytearray(64)
    _pin, (pointer,) = srtp.pointers(buffer, len(buffer), 1)
    srtp.LENGTH[0] = len(packet)
    assert callable(function)
    status = function(context.handle, pointer, srtp.LENGTH)
    return status, bytes(buffer[: srtp.LENGTH[0]])


def session(key: bytes, profile: srtp.Profile, ssrc_type: int) -> Session:
    return Session(Policy(key=key, ssrc_type=ssrc_type, srtp_profile=profile.policy))


@pytest.mark.parametrize("profile", srtp.PROFILES, ids=lambda profile: profile.name)
def test_it_encrypts_as_pylibsrtp_does(profile: srtp.Profile) -> None:
    key = bytes(range(profile.key_bytes + profile.salt_bytes))
    ours = srtp.Context(key, profile, outbound=True)
    theirs = session(key, profile, Policy.SSRC_ANY_OUTBOUND)
    receiver = srtp.Context(key, profile, outbound=False)
    status, sent = in_place(srtp.protect, ours, RTP)
    assert (status, sent) == (0, theirs.protect(RTP))
    assert 0 < len(sent) - len(RTP) <= srtp.OVERHEAD
    assert in_place(srtp.unprotect, receiver, sent) == (0, RTP)
    status, report = in_place(srtp.protect_rtcp, ours, RTCP)
    assert (status, report) == (0, theirs.protect_rtcp(RTCP))
    assert 0 < len(report) - len(RTCP) <= srtp.OVERHEAD
    assert in_place(srtp.unprotect_rtcp, receiver, report) == (0, RTCP)


@pytest.mark.parametrize("profile", srtp.PROFILES, ids=lambda profile: profile.name)
def test_it_refuses_by_status_and_never_raises(profile: srtp.Profile) -> None:
    key = bytes(range(profile.key_bytes + profile.salt_bytes))
    receiver = srtp.Context(key, profile, outbound=False)
    sent = session(key, profile, Policy.SSRC_ANY_OUTBOUND).protect(RTP)
    status, _ = in_place(srtp.unprotect, receiver, sent[:-1] + bytes([sent[-1] ^ 1]))
    assert srtp.STATUS[status] == "srtp_auth"
    assert in_place(srtp.unprotect, receiver, sent)[0] == 0
    status, _ = in_place(srtp.unprotect, receiver, sent)
    assert srtp.STATUS[status] == "srtp_replay"
    assert status in srtp.REPLAYED
    for size in (12, 13, 20):
        assert in_place(srtp.unprotect, receiver, sent[:size])[0] != 0


def test_it_never_encrypts_two_packets_under_one_number() -> None:
    profile = srtp.PROFILES[0]
    sender = srtp.Context(bytes(28), profile, outbound=True)
    assert in_place(srtp.protect, sender, RTP)[0] == 0
    status, _ = in_place(srtp.protect, sender, RTP[:-1] + b"!")
    assert status in srtp.REPLAYED


def test_keys_are_split_as_rfc_5764_says() -> None:
    profile = srtp.PROFILES[-1]
    material = b"C" * 16 + b"S" * 16 + b"c" * 14 + b"s" * 14
    assert profile.material_bytes == len(material)
    assert profile.split(material) == (b"C" * 16 + b"c" * 14, b"S" * 16 + b"s" * 14)
