"""SRTCP that libsrtp made, opened with keys derived here; and the exporter against OpenSSL's own."""

import secrets

import pytest
from pylibsrtp import Policy, Session

from appliance.intake.pcap.keys import PROFILES, KeyLog, Opener, prf

REPORT = bytes.fromhex("80c90001000000aa") + bytes.fromhex("81ca000200000001010161000000")[:12]
POLICIES = {
    "SRTP_AES128_CM_SHA1_80": Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    "SRTP_AES128_CM_SHA1_32": Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
    "SRTP_AEAD_AES_128_GCM": Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    "SRTP_AEAD_AES_256_GCM": Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
}


@pytest.mark.parametrize("name", PROFILES)
def test_what_libsrtp_has_closed(name: str) -> None:
    profile = PROFILES[name]
    key, salt = secrets.token_bytes(profile.key_bytes), secrets.token_bytes(profile.salt_bytes)
    policy = Policy(key=key + salt, ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=POLICIES[name])
    session = Session(policy)
    opener = Opener(profile, key, salt)
    for _ in range(3):
        closed = session.protect_rtcp(REPORT)
        assert closed[8:] != REPORT[8:]
        assert opener.rtcp(closed) == REPORT
        assert opener.rtcp(closed[:-1]) is None
        assert opener.rtcp(closed[:9] + bytes([closed[9] ^ 1]) + closed[10:]) is None
    assert opener.rtcp(b"") is None


def test_prf_as_published() -> None:
    # https://mailarchive.ietf.org/arch/msg/tls/fzVCzk-z3FShgGJ6DOXqM1ydxms/, test vector of P_SHA256.
    secret = bytes.fromhex("9bbe436ba940f017b17652849a71db35")
    seed = b"test label" + bytes.fromhex("a0ba9f936cda311827a6f796ffd5198c")
    assert prf(secret, seed, 100, "sha256").hex() == (
        "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a"
        "6b301791e90d35c9c9a46b4e14baf9af0fa022f7077def17abfd3797c0564bab"
        "4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701"
        "87347b66"
    )


def test_a_key_log_is_read_and_other_lines_are_passed_over() -> None:
    random, secret = secrets.token_bytes(32), secrets.token_bytes(48)
    good = f"CLIENT_RANDOM {random.hex()} {secret.hex()}\r\n"
    text = f"# made by hand\n{good}SERVER_TRAFFIC_SECRET_0 aa bb\nCLIENT_RANDOM x y\n"
    keys = KeyLog(text.encode())
    assert keys.secrets == {random: secret}
    assert keys.openers(random, bytes(32), "", "SRTP_AEAD_AES_128_GCM") is not None
    assert keys.openers(random, bytes(32), "", "0x0099") is None
    assert keys.openers(bytes(32), bytes(32), "", "SRTP_AEAD_AES_128_GCM") is None
