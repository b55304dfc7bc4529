"""What both are asked where a secret, tokens, string ids and claims are in use."""

import base64
import hashlib
import hmac
import time

from tests.interop.beside.core_talks import ECHO, OFFER
from tests.interop.beside.side import JsonObject, Side

SECRET, ADMIN_KEY = "hush", "key"


async def tokens(side: Side) -> None:
    """The API secret, tokens that the Admin API keeps, and what each may attach to."""
    await side.say("create without", "create")
    await side.say("create wrongly", "create", apisecret="nonsense")
    await side.say("create wrong token", "create", token="nonsense")
    await side.say("ping", "ping")
    await side.say("info of others", "keepalive", session_id=5)
    await side.ask_http("poll without", "GET", "/5")
    await side.ask_http("poll wrongly", "GET", "/5?apisecret=nonsense")
    await side.ask_http("poll of nothing", "GET", f"/5?apisecret={SECRET}")
    await side.admin("add", "add_token", token="one", plugins=[ECHO])
    await side.admin("add again", "add_token", token="one", plugins=[ECHO])
    await side.admin("add unknown plugin", "add_token", token="two", plugins=["nonsense"])
    await side.admin("add no strings", "add_token", token="three", plugins=[5])
    await side.admin("add for all", "add_token", token="all")
    await side.admin("list", "list_tokens")
    await side.admin("allow unknown token", "allow_token", token="nonsense", plugins=[ECHO])
    await side.admin("allow unknown plugin", "allow_token", token="one", plugins=["nonsense"])
    await side.admin("allow nothing", "allow_token", token="one", plugins=[])
    await side.admin("disallow unknown token", "disallow_token", token="nonsense", plugins=[ECHO])
    side.common = {"token": "one"}
    await side.session()
    ids = await side.attach(ECHO)
    await side.say("attach elsewhere", "attach", session_id=side.session_id, plugin="janus.plugin.videoroom")
    await side.admin("handle_info", "handle_info", f"/{side.session_id}/{ids['handle_id']}", plugin_only=True)
    await side.admin("disallow", "disallow_token", token="one", plugins=[ECHO])
    await side.say("attach no more", "attach", session_id=side.session_id, plugin=ECHO)
    await side.admin("allow", "allow_token", token="one", plugins=[ECHO])
    await side.say("attach again", "attach", session_id=side.session_id, plugin=ECHO)
    await side.admin("remove", "remove_token", token="one")
    await side.admin("remove again", "remove_token", token="one")
    await side.say("keepalive no more", "keepalive", session_id=side.session_id)
    side.common = {"apisecret": SECRET}
    await side.say("destroy", "destroy", session_id=side.session_id)
    side.notified("notified")


async def string_ids(side: Side) -> None:
    """Rooms and participants with strings for ids; an opaque id in everything that is told."""
    side.common = {"apisecret": SECRET}
    await side.session()
    ids = await side.attach(opaque_id="mine")
    await side.room("create with a number", ids, "create", room=7, admin_key=ADMIN_KEY)
    await side.room("create without a key", ids, "create", room="seven")
    await side.room("create with a wrong key", ids, "create", room="seven", admin_key="nonsense")
    await side.room("create", ids, "create", room="seven", admin_key=ADMIN_KEY, is_private=True)
    await side.room("create without an id", ids, "create", admin_key=ADMIN_KEY)
    await side.room("list", ids, "list")
    await side.room("list with a wrong key", ids, "list", admin_key="nonsense")
    await side.room("list with the key", ids, "list", admin_key=ADMIN_KEY)
    await side.room("exists", ids, "exists", room="seven")
    await side.room("exists with a number", ids, "exists", room=7)
    await side.room("join with a number", ids, "join", room="seven", ptype="publisher", id=5)
    offer = {"type": "offer", "sdp": OFFER}
    await side.room("join", ids, "joinandconfigure", room="seven", ptype="publisher", id="me", jsep=offer)
    await side.room("kick with a number", ids, "kick", room="seven", id=5)
    await side.room("listparticipants", ids, "listparticipants", room="seven")
    echo = await side.attach(ECHO, opaque_id="echo")
    await side.say("echo", "message", **echo, body={"audio": True}, jsep=offer)
    await side.say("hangup", "hangup", **echo)
    await side.heard(lambda one: one["janus"] == "hangup")
    await side.say("detach", "detach", **echo)
    await side.heard(lambda one: one["janus"] == "detached")
    side.notified("notified")


async def claims(side: Side) -> None:
    """A connection that breaks, and the session that waits to be claimed."""
    side.common = {"apisecret": SECRET}
    session = await side.session()
    ids = await side.attach(ECHO)
    await side.disconnect()
    await side.connect()
    await side.say("keepalive before the claim", "keepalive", session_id=session)
    await side.say("claim", "claim", session_id=session)
    await side.say("echo", "message", **ids, body={"audio": True})
    await side.say("claim of nothing", "claim", session_id=5)
    await side.say("detach", "detach", **ids)
    await side.heard(lambda one: one["janus"] == "detached")
    side.notified("notified")


def signed(secret: str, realm: str, *plugins: str, expires_in_s: int = 60) -> str:
    """A token as Janus's documentation has it signed."""
    data = ",".join([str(int(time.time()) + expires_in_s), realm, *plugins])
    mac = hmac.new(secret.encode(), data.encode(), hashlib.sha1).digest()
    return f"{data}:{base64.b64encode(mac).decode()}"


async def signed_tokens(side: Side) -> None:
    """Tokens that carry their own proof."""
    bad: JsonObject = {
        "none": None, "nonsense": "nonsense", "wrong secret": signed("nonsense", "janus", ECHO),
        "wrong realm": signed(SECRET, "nonsense", ECHO), "expired": signed(SECRET, "janus", ECHO, expires_in_s=-60),
        "no plugins": signed(SECRET, "janus"), "another": signed(SECRET, "janus", "nonsense"),
    }  # fmt: skip
    for name, token in bad.items():
        side.common = {"token": token} if token else {}
        created = await side.say(name, "create")
        if "data" in created:
            await side.say(f"attach with {name}", "attach", session_id=created["data"]["id"], plugin=ECHO)
    side.common = {"token": signed(SECRET, "janus", ECHO)}
    await side.session()
    await side.attach(ECHO)
    await side.admin("add", "add_token", token="x")
    await side.admin("list", "list_tokens")
    side.common = {}
    side.notified("notified")
