"""SRTP under a key that both sides were told: what goes out, somebody else's libsrtp session opens, and the reverse."""

from base64 import b64encode

import pytest
from pylibsrtp import Policy, Session

from appliance.media.shared_key import SharedKey
from appliance.wire.rtp import RtpHeader

MATERIAL = bytes(range(30))
KEY = b64encode(MATERIAL).decode()
PROFILES = {32: Policy.SRTP_PROFILE_AES128_CM_SHA1_32, 80: Policy.SRTP_PROFILE_AES128_CM_SHA1_80}
RTCP = bytes.fromhex("80c90001 00000001")


def rtp(sequence: int) -> bytes:
    return RtpHeader(payload_type=96, sequence_number=sequence, timestamp=7, ssrc=9).build() + b"payload"


def session(suite: int, *, outbound: bool) -> Session:
    ssrc_type = Policy.SSRC_ANY_OUTBOUND if outbound else Policy.SSRC_ANY_INBOUND
    return Session(Policy(key=MATERIAL, ssrc_type=ssrc_type, srtp_profile=PROFILES[suite]))


@pytest.mark.parametrize(("suite", "tag"), [(32, 4), (80, 10)])
def test_both_ways(suite: int, tag: int) -> None:
    ours = SharedKey(suite, KEY)
    sent = ours.protect(rtp(1))
    assert sent is not None
    assert len(sent) == len(rtp(1)) + tag
    theirs = session(suite, outbound=False)
    assert theirs.unprotect(sent) == rtp(1)
    control = ours.protect_rtcp(RTCP)
    assert control is not None
    assert theirs.unprotect_rtcp(control) == RTCP
    other = session(suite, outbound=True)
    assert ours.unprotect(other.protect(rtp(2))) == rtp(2)
    assert ours.unprotect_rtcp(other.protect_rtcp(RTCP)) == RTCP


def test_what_is_forged_repeated_or_cut_is_refused() -> None:
    key = SharedKey(80, KEY)
    packet = session(80, outbound=True).protect(rtp(1))
    assert key.unprotect(packet[:-1] + bytes((packet[-1] ^ 1,))) is None
    assert key.unprotect(packet) == rtp(1)
    assert key.unprotect(packet) is None
    for length in range(len(packet)):
        assert SharedKey(80, KEY).unprotect(packet[:length]) is None
    assert key.unprotect_rtcp(b"") is None
    assert key.protect(rtp(1)) is not None
    assert key.protect(rtp(1)) is None


@pytest.mark.parametrize(
    ("suite", "crypto", "error"),
    [
        (64, KEY, "srtp_suite is 64, wanted 32 or 80"),
        (80, "?", "srtp_crypto is no base64"),
        (80, "é", "srtp_crypto is no base64"),
        (80, KEY[:-4], "srtp_crypto has 27 bytes, wanted 30"),
    ],
)
def test_keys_that_are_none(suite: int, crypto: str, error: str) -> None:
    with pytest.raises(ValueError, match=error.replace("?", r"\?")):
        SharedKey(suite, crypto)
