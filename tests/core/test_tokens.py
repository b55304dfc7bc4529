"""Tokens that are stored and tokens that are signed, and what each opens."""

import subprocess
from typing import Any

import pytest

from appliance.core.gateway import GatewayConfig
from appliance.core.plugin import TokenReader
from appliance.core.tokens import StoredTokens, TokensFullError, read_signed, sign
from appliance.plugins.echotest import EchoTest
from tests.core.world import JsonObject, World
from tests.programs import need

ECHO, ROOM = "janus.plugin.echotest", "janus.plugin.videoroom"
# base64(HMAC-SHA1("hush", data)), made with: printf %s DATA | openssl dgst -sha1 -hmac hush -binary | base64
DATA = "1700000100,janus,janus.plugin.echotest,janus.plugin.videoroom"
SIGNED = f"{DATA}:T1/F67y+pg8CaZMoOif+dICaTbc="


@pytest.mark.interop
def test_a_signed_token_is_what_openssl_makes() -> None:
    need("openssl")
    command = f"printf %s '{DATA}' | openssl dgst -sha1 -hmac hush -binary | base64"
    signature = subprocess.run(["sh", "-c", command], capture_output=True, check=True, text=True).stdout.strip()
    assert f"{DATA}:{signature}" == SIGNED == sign(1700000100, "janus", [ECHO, ROOM], b"hush")


@pytest.mark.parametrize(
    ("token", "realm", "now_s", "granted"),
    [
        (SIGNED, "janus", 1700000100, {ECHO, ROOM}),
        (SIGNED, "janus", 1700000100.5, None),
        (SIGNED, ROOM, 1700000000, None),
        (sign(1700000100, "janus", [], b"hush"), "janus", 1700000000, set()),
        (sign(1700000100, "janus", [ECHO], b"other"), "janus", 1700000000, None),
        (SIGNED.replace("1700000100", "1900000100"), "janus", 1700000000, None),
        (SIGNED + ":", "janus", 1700000000, None),
        (SIGNED.partition(":")[0], "janus", 1700000000, None),
        ("", "janus", 1700000000, None),
        ("\udc80:x", "janus", 1700000000, None),
        ("1" * 5000 + ":x", "janus", 1700000000, None),
    ],
)
def test_reading_a_signed_token(token: str, realm: str, now_s: float, granted: set[str] | None) -> None:
    assert read_signed(token, b"hush", realm, now_s) == granted


def test_an_expiry_that_is_no_number_opens_nothing() -> None:
    for expiry in ("", "-1", "1e9", "¹", "9" * 20):
        data = f"{expiry},janus"
        token = sign(0, "janus", [], b"k").replace("0,janus", data)
        assert read_signed(token, b"k", "janus", 0.0) is None


def refused(answer: JsonObject) -> tuple[int, str]:
    return answer["error"]["code"], answer["error"]["reason"]


def test_signed_tokens_open_the_api_until_they_expire() -> None:
    world = World(GatewayConfig(token_auth_secret="hush"))
    assert world.say("info")["auth_token"] is True
    assert refused(world.say("create"))[0] == 403
    token = sign(1_700_000_060, "janus", [ECHO], b"hush")
    session_id = world.session(token=token)
    attached = world.say("attach", session_id=session_id, plugin=ECHO, token=token)
    assert attached["janus"] == "success"
    other = sign(1_700_000_060, "janus", [ROOM], b"hush")
    wanted = (405, f"Provided token can't access plugin '{ECHO}'")
    assert refused(world.say("attach", session_id=session_id, plugin=ECHO, token=other)) == wanted
    world.clock.advance(60.5)
    assert refused(world.say("keepalive", session_id=session_id, token=token))[0] == 403
    assert not any(token in str(item) for item in world.events)


class Doorkeeper(EchoTest):
    """Keeps what it is lent."""

    granted: TokenReader | None = None

    def lend_tokens(self, granted: TokenReader) -> None:
        self.granted = granted


def test_plugins_read_signed_tokens_of_their_own_realm() -> None:
    without, plugin = Doorkeeper(), Doorkeeper()
    World(GatewayConfig(token_auth=True), plugins={ECHO: without})
    assert without.granted is None
    world = World(GatewayConfig(token_auth_secret="hush"), plugins={ECHO: plugin})
    expiry_s = world.clock.wall_us() // 1_000_000 + 1
    assert plugin.granted is not None
    assert plugin.granted(sign(expiry_s, ECHO, ["seat=5"], b"hush")) == frozenset({"seat=5"})
    assert plugin.granted(sign(expiry_s, "janus", ["seat=5"], b"hush")) is None
    world.clock.advance(5)
    assert plugin.granted(sign(expiry_s, ECHO, ["seat=5"], b"hush")) is None


def test_either_the_secret_or_a_token_opens() -> None:
    config: Any = {"api_secret": "s", "token_auth": True, "token_auth_secret": "hush"}
    world = World(GatewayConfig(**config))
    tokens = world.gateway.auth.tokens
    assert tokens is not None
    tokens.add("stored", [])
    signed = sign(1_700_000_060, "janus", [ECHO], b"hush")
    for good in ({"apisecret": "s"}, {"token": "stored"}, {"token": signed}, {"apisecret": "wrong", "token": signed}):
        session_id = world.session(**good)
    for bad in ({}, {"token": "other"}, {"token": 5}, {"apisecret": "stored"}):
        assert refused(world.say("create", **bad))[0] == 403
    # Allowed nothing, so it attaches to nothing; the secret alone attaches to all.
    assert refused(world.say("attach", session_id=session_id, plugin=ECHO, token="stored"))[0] == 405
    assert world.say("attach", session_id=session_id, plugin=ECHO, apisecret="s")["janus"] == "success"


def test_stored_tokens_are_bounded() -> None:
    tokens = StoredTokens({ECHO, ROOM}, limit=1)
    assert tokens.add("a", [ECHO, "janus.plugin.nope"]) == [ECHO]
    with pytest.raises(TokensFullError):
        tokens.add("b")
    with pytest.raises(TokensFullError):
        StoredTokens({ECHO}).add("x" * 5000)
    assert tokens.add("a") == [ECHO, ROOM]
    assert len(tokens) == 1
