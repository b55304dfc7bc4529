"""A description that is too long is refused by the setting, and by the codec whatever the setting says."""

import pytest

from appliance.core.gateway import GatewayConfig
from appliance.media.config import MediaConfig
from appliance.media.engine import Engine
from tests.core.world import JsonObject, World
from tests.interop.beside.core_talks import OFFER


@pytest.mark.parametrize(
    ("most", "size", "reason"),
    [
        (262_144, 262_144, ""),
        (262_144, 262_145, "SDP of 262145 characters, at most 262144 are read"),
        (10_000_000, 262_145, "description has 262145 characters, wanted at most 262144"),
    ],
)
def test_how_long_a_description_may_be(most: int, size: int, reason: str) -> None:
    world = World(GatewayConfig(max_sdp_bytes=most))
    world.gateway.context.media = Engine(MediaConfig(), world.clock)
    session_id = world.session()
    ids: JsonObject = {"session_id": session_id, "handle_id": world.handle(session_id)}
    sdp = OFFER + "a=x-long:" + "y" * (size - len(OFFER) - 11) + "\r\n"
    assert len(sdp) == size
    told = world.say("message", **ids, body={"audio": True}, jsep={"type": "offer", "sdp": sdp})
    assert told.get("error") == ({"code": 465, "reason": reason} if reason else None)
    # A refused one leaves the handle as it was.
    assert world.say("message", **ids, body={"audio": True}, jsep={"type": "offer", "sdp": OFFER})["janus"] == "ack"
