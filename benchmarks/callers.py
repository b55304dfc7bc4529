"""Calls that cost their process little, so that a thousand fit into one: the tests' own ICE, DTLS and SRTP client.

Everything blocks, one thing after the other; nothing works on media, and what comes back is counted and not read.
Against any gateway that speaks the Janus API over HTTP.
"""

import http.client
import json
import re
import select
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from appliance.wire import sdp
from tests.clock import FakeClock
from tests.media.client import Client
from tests.media.test_offering import Subscriber

C = TypeVar("C", bound=Client)

CONNECT_SECONDS = 15.0
_ENGINE: Any = None
"""Only a pump that is not used here would ask the engine for its ports."""
_CLOCK = FakeClock()
"""Timers of handshakes never fire: over loopback no flight is lost."""
_SDPS = Path(__file__).parent.parent / "tests/data/sdp"
# Without its data channel, which would have to be answered.
_CHROMIUM = (_SDPS / "chrome_offer.sdp").read_text("ascii").partition("m=application")[0].replace("0 1 2\n", "0 1\n")


class Api:
    """Requests to the Janus API, over one connection that stays open."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=40)
        self._path = parts.path

    def ask(self, *ids: int, janus: str, **rest: Any) -> dict[str, Any]:
        """POST to a session (and its handle). :raises RuntimeError: it is refused."""
        body = json.dumps({"janus": janus, "transaction": "load", **rest})
        reply = self._exchange("POST", "".join(f"/{number}" for number in ids), body)
        if reply["janus"] == "error":
            raise RuntimeError(f"{janus}: {reply['error']}")
        found: dict[str, Any] = reply
        return found

    def event(self, session: int, wanted: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """Poll until an event is wanted; those before it are dropped."""
        while True:
            for event in self._exchange("GET", f"/{session}?maxev=20"):
                if wanted(event):
                    found: dict[str, Any] = event
                    return found

    def _exchange(self, method: str, path: str, body: str | None = None) -> Any:
        self._connection.request(method, self._path + path, body, {"Content-Type": "application/json"})
        return json.loads(self._connection.getresponse().read())

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class Browser(Client):
    """Offers what Chromium does: audio and video with all codecs and header extensions."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, kinds=("audio", "video"), **options)
        described = sdp.parse(_CHROMIUM)
        self.ssrcs = {kind: media.ssrcs[0].ssrc for kind, media in zip(self.kinds, described.media, strict=True)}

    def offer(self) -> str:
        """With its own credentials and address."""
        text = re.sub("a=ice-ufrag:.*", f"a=ice-ufrag:{self.ufrag}", _CHROMIUM)
        text = re.sub("a=ice-pwd:.*", f"a=ice-pwd:{self.pwd}", text)
        text = re.sub("a=fingerprint:.*", f"a=fingerprint:{self.fingerprint.algorithm} {self.fingerprint.value}", text)
        first, _, rest = text.partition("m=video")
        return first + "".join(f"a={candidate}\n" for candidate in self.candidates) + "m=video" + rest


class Call:
    """A session, its handle, and the client at the other end of its PeerConnection."""

    def __init__(self, session: int, handle: int, client: Client) -> None:
        self.session = session
        self.handle = handle
        self.client = client
        self.sequence = 0


class Callers:
    """Calls to one gateway, their sockets looked after together."""

    def __init__(self, url: str, host: str = "127.0.0.1") -> None:
        """``host`` is where the clients are: an address that the gateway takes candidates from."""
        self.api = Api(url)
        self.calls: list[Call] = []
        self.packets_received = 0
        """RTP."""
        self._host = host
        self._epoll = select.epoll()
        self._by_fd: dict[int, Client] = {}

    # --- signalling --------------------------------------------------------------------------------------

    def session(self, plugin: str) -> tuple[int, int]:
        """Create a session and attach to the plugin."""
        session: int = self.api.ask(janus="create")["data"]["id"]
        handle: int = self.api.ask(session, janus="attach", plugin=plugin)["data"]["id"]
        return session, handle

    def echo(self) -> Call:
        """A connected EchoTest call."""
        session, handle = self.session("janus.plugin.echotest")
        return self.offered(session, handle, self.new(Browser), {"audio": True, "video": True})

    def offered(self, session: int, handle: int, client: Client, body: dict[str, Any]) -> Call:
        """Send the client's offer with ``body``, take the answer, connect."""
        # A candidate in the description: Janus does not wait for trickling then.
        client.candidates = (client.own_candidate,)
        jsep = {"type": "offer", "sdp": client.offer(), "trickle": False}
        self.api.ask(session, handle, janus="message", body=body, jsep=jsep)
        client.take(self.api.event(session, lambda event: "jsep" in event)["jsep"]["sdp"])
        return self.connected(Call(session, handle, client))

    def publish(self, room: int) -> tuple[Call, int]:
        """A VideoRoom publisher of video, and the id of its feed."""
        session, handle = self.session("janus.plugin.videoroom")
        body = {"request": "join", "ptype": "publisher", "room": room}
        self.api.ask(session, handle, janus="message", body=body)
        joined = self.api.event(session, lambda event: "plugindata" in event)["plugindata"]["data"]
        client = self.new(Client, kinds=("video",))
        return self.offered(session, handle, client, {"request": "publish"}), joined["id"]

    def subscribe(self, room: int, feeds: list[int]) -> Call:
        """A VideoRoom subscriber, whom the gateway sends an offer."""
        session, handle = self.session("janus.plugin.videoroom")
        streams = [{"feed": feed} for feed in feeds]
        body = {"request": "join", "ptype": "subscriber", "room": room, "streams": streams}
        self.api.ask(session, handle, janus="message", body=body)
        offer = self.api.event(session, lambda event: "jsep" in event)["jsep"]["sdp"]
        client = self.new(Subscriber)
        jsep = {"type": "answer", "sdp": client.reply(offer), "trickle": False}
        self.api.ask(session, handle, janus="message", body={"request": "start"}, jsep=jsep)
        return self.connected(Call(session, handle, client))

    # --- datagrams ---------------------------------------------------------------------------------------

    def new(self, kind: type[C], **options: Any) -> C:
        """A client whose socket is looked after."""
        client = kind(_ENGINE, _CLOCK, host=self._host, **options)
        client.listener = self._count
        self._by_fd[client.socket.fileno()] = client
        self._epoll.register(client.socket.fileno(), select.EPOLLIN)
        return client

    def connected(self, call: Call) -> Call:
        """ICE and DTLS. :raises TimeoutError: not within some seconds."""
        client = call.client
        if client.transport.setup == "active":
            client.start_dtls()
        client.check()
        deadline = time.monotonic() + CONNECT_SECONDS
        while not client.connected:
            if time.monotonic() > deadline:
                raise TimeoutError(f"a client did not connect within {CONNECT_SECONDS:.0f} s")
            self.attend(0.02)
            if client.dtls is None and client.responses:
                client.start_dtls()
        self.calls.append(call)
        return call

    def attend(self, timeout: float = 0.0) -> None:
        """Take what has come, or comes within ``timeout`` seconds; ICE and DTLS are answered."""
        for fd, _ in self._epoll.poll(timeout):
            self._by_fd[fd].drain()

    def _count(self, data: bytes) -> bool:
        if 127 < data[0] < 192:
            self.packets_received += not 191 < data[1] < 224
            return False
        return True

    def pump(self, packets_per_second: float, payload: bytes, seconds: float) -> int:
        """Send RTP from every call in turn, so many packets a second in all; returns how many went out."""
        began, sent = time.monotonic(), 0
        while (elapsed := time.monotonic() - began) < seconds:
            while sent < elapsed * packets_per_second:
                call = self.calls[sent % len(self.calls)]
                call.client.send_rtp(call.client.kinds[0], call.sequence, 960 * call.sequence, payload)
                call.sequence += 1
                sent += 1
            self.attend(0.001)
        return sent

    def check(self) -> None:
        """Show every gateway's ICE that its client is there."""
        for call in self.calls:
            call.client.check(nominate=False)

    def keep_alive(self) -> None:
        """Say in every session that its client is there."""
        for call in self.calls:
            self.api.ask(call.session, janus="keepalive")

    def close(self) -> None:
        """Destroy every session, and close."""
        for call in self.calls:
            self.api.ask(call.session, janus="destroy")
            call.client.close()
        self.calls.clear()
        self._epoll.close()
        self.api.close()
