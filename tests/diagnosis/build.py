"""Calls made up event by event, for what no recording holds. Times are seconds since the attach."""

import json
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from appliance.core import events as e
from appliance.diagnosis.explain import Explanation, explain
from appliance.diagnosis.timeline import Timeline
from appliance.diagnosis.verdict import Verdict, judge

DATA = Path(__file__).parent.parent / "data"
START_US = 1_700_000_000_000_000
SERVER = "gw"
LOCAL = e.CandidateAddress(address="192.0.2.1", port=10000, type="host")
REMOTE = e.CandidateAddress(address="198.51.100.7", port=50000, type="srflx")


def recording(case: str) -> list[e.Event]:
    """A recorded trace, ``janus-1.4/aiortc_echo``."""
    lines = (DATA / f"{case}.jsonl").read_text("utf-8").splitlines()
    return [item for line in lines for item in e.from_janus(json.loads(line)["event"])]


def sdp(*media: str, setup: str = "actpass", candidates: tuple[str, ...] = ()) -> str:
    """``"audio sendrecv"``, ``"video recvonly VP8,H264"``, ``"audio rejected"``, ``"application"`` for each m-line."""
    lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0"]
    for mid, text in enumerate(media):
        kind, direction, codecs = [*text.split(), "sendrecv", "opus"][:3] if " " in text else (text, "sendrecv", "x")
        port = 0 if direction == "rejected" else 9
        lines += [
            f"m={kind} {port} UDP/TLS/RTP/SAVPF 96",
            f"a=mid:{mid}",
            f"a=setup:{setup}",
            f"a={'inactive' if direction == 'rejected' else direction}",
        ]
        lines += [f"a=rtpmap:{96 + n} {codec}/90000" for n, codec in enumerate(codecs.split(","))]
    lines += [f"a=candidate:{candidate}" for candidate in candidates]
    return "\r\n".join([*lines, ""])


class Call:
    """One PeerConnection being told of. Every method returns the call, so that a story reads from left to right."""

    def __init__(self) -> None:
        self.events: list[e.Event] = []
        self.now = 0.0
        self.counters: dict[tuple[str, str], dict[str, Any]] = {}
        self.add(e.Session(name="created", transport=e.TransportRef("janus.transport.http", "77")), handle=None)
        self.add(e.Handle(name="attached", plugin="janus.plugin.echotest"))

    def at(self, seconds: float) -> "Call":
        """Move on to a time."""
        assert seconds >= self.now
        self.now = seconds
        return self

    def after(self, seconds: float) -> "Call":
        return self.at(self.now + seconds)

    def add(self, body: e.Body, *, handle: int | None = 9, session: int | None = 7) -> "Call":
        item = e.event(
            body,
            emitter=SERVER,
            timestamp=START_US + round(self.now * 1e6),
            session_id=session,
            handle_id=handle,
        )
        number = len(self.events) + 1
        self.events.append(replace(item, id=number, correlation_id="7-9-1@gw" if handle is not None else None))
        return self

    def asked(self, body: e.Body) -> "Call":
        """What no event told, but the server's Admin API."""
        self.add(body)
        self.events[-1] = replace(self.events[-1], inferred=True)
        return self

    def gone(self) -> "Call":
        """The server was found without the call, and its end was never told."""
        return self.asked(e.Connection(connection="hangup", reason="not told")).asked(
            e.Handle(name="detached", plugin="janus.plugin.echotest")
        )

    # --- signalling, ICE ---

    def offer(self, *media: str, owner: str = "remote", **more: Any) -> "Call":
        text = sdp(*(media or ("audio sendrecv",)), **more)
        return self.add(e.Jsep(owner=owner, jsep=e.SessionDescription("offer", text)))

    def answer(self, *media: str, owner: str = "local", **more: Any) -> "Call":
        text = sdp(*(media or ("audio sendrecv",)), **({"setup": "passive"} | more))
        return self.add(e.Jsep(owner=owner, jsep=e.SessionDescription("answer", text)))

    def ice(self, state: str) -> "Call":
        return self.add(e.IceState(ice=state))

    def local(self, address: str = "192.0.2.1", kind: str = "host") -> "Call":
        return self.add(e.LocalCandidate(candidate=f"1 1 udp 2015363327 {address} 10000 typ {kind}"))

    def remote(self, address: str = "198.51.100.7", kind: str = "srflx") -> "Call":
        return self.add(e.RemoteCandidate(candidate=f"2 1 udp 1685987071 {address} 50000 typ {kind}"))

    def no_more(self, count: int = 0) -> "Call":
        return self.add(e.EndOfCandidates(count=count))

    def stun(self, sent: int = 0, answered: int = 0, received: int = 0, replied: int = 0, **more: Any) -> "Call":
        pair = e.PairStats(
            local=LOCAL,
            remote=more.pop("to", REMOTE),
            requests_sent=sent,
            responses_received=answered,
            requests_received=received,
            responses_sent=replied,
            **more,
        )
        return self.add(e.PairCounters(pairs=(pair,)))

    def select(self, remote: e.CandidateAddress = REMOTE) -> "Call":
        text = f"192.0.2.1:10000 [host,udp] <-> {remote.address}:{remote.port} [{remote.type},udp]"
        return self.add(e.SelectedPair(pair=text, candidates=e.PairAddresses(local=LOCAL, remote=remote)))

    def dtls(self, state: str, retransmissions: int = 0) -> "Call":
        return self.add(e.DtlsState(dtls=state, retransmissions=retransmissions))

    def detail(self, **more: Any) -> "Call":
        return self.add(e.DtlsDetail(**({"role": "server"} | more)))

    # --- the stories' usual beginnings ---

    def settled(self, *media: str, answer: tuple[str, ...] = ()) -> "Call":
        """Offer, answer and candidates of both sides; ICE begins. A tenth of a second."""
        self.after(0.02).offer(*media).ice("gathering").local()
        return self.after(0.08).answer(*(answer or media)).remote().ice("connecting")

    def connected(self, *media: str, answer: tuple[str, ...] = ()) -> "Call":
        """And ICE succeeds, 50 ms later."""
        return self.settled(*media, answer=answer).after(0.05).select().ice("connected").ice("ready").dtls("trying")

    def up(self, *media: str, answer: tuple[str, ...] = ()) -> "Call":
        """And DTLS, another 50 ms later."""
        self.connected(*media, answer=answer).after(0.05).dtls("connected")
        return self.add(e.Connection(connection="webrtcup"))

    # --- media ---

    def media(
        self, seconds: float, *, mid: str = "0", kind: str = "audio", rate: float = 50, sent: float | None = None,
        lost: float = 0.0, lost_by_remote: float = 0.0, step: float = 1.0, **more: Any,
    ) -> "Call":  # fmt: skip
        """Statistics each second; rates are packets a second, ``lost`` shares of the packets that there should be."""
        end = self.now + seconds
        while self.now < end - 1e-9:
            self.after(min(step, end - self.now))
            self.stats(mid=mid, kind=kind, rate=rate, sent=sent, lost=lost, lost_by_remote=lost_by_remote, **more)
        return self

    def stats(
        self, *, mid: str = "0", kind: str = "audio", rate: float = 50, sent: float | None = None,
        lost: float = 0.0, lost_by_remote: float = 0.0, step: float = 1.0, **more: Any,
    ) -> "Call":  # fmt: skip
        """One such event."""
        totals = self.counters.setdefault(
            (mid, kind),
            {"lost": 0, "lost_by_remote": 0, "packets_received": 0, "packets_sent": 0, "bytes_received": 0}
            | {"bytes_sent": 0},
        )
        missing, out = round(rate * lost * step), round((rate if sent is None else sent) * step)
        totals["lost"] += missing
        totals["packets_received"] += round(rate * step) - missing
        totals["packets_sent"] += out
        totals["lost_by_remote"] += round(out * lost_by_remote)
        totals["bytes_received"] += 100 * (round(rate * step) - missing)
        totals["bytes_sent"] += 100 * out
        figures = {"jitter_local": 1, "rtt": 20 + totals["packets_sent"] % 3} | totals | more
        return self.add(e.MediaStats(mid=mid, mindex=int(mid), media=kind, base=48000, **figures))

    def both(self, seconds: float, audio: dict[str, Any] | None = None, video: dict[str, Any] | None = None) -> "Call":
        """Audio on mid 0 and video on mid 1 at once."""
        for _ in range(round(seconds)):
            self.after(1.0)
            one: dict[str, Any] = {"mid": "0", "kind": "audio"}
            other: dict[str, Any] = {"mid": "1", "kind": "video", "rate": 60}
            self.stats(**(one | (audio or {}))).stats(**(other | (video or {})))
        return self

    def receiving(self, receiving: bool, *, mid: str = "0", kind: str = "audio") -> "Call":
        return self.add(e.MediaState(media=kind, mid=mid, receiving=receiving))

    # --- ends ---

    def hangup(self, reason: str = "Janus API") -> "Call":
        return self.add(e.Connection(connection="hangup", reason=reason))

    def detach(self) -> "Call":
        return self.add(e.Handle(name="detached", plugin="janus.plugin.echotest"))

    def session(self, name: str) -> "Call":
        return self.add(e.Session(name=name), handle=None)

    def transport(self, event: str) -> "Call":
        return self.add(
            e.Transport(transport="janus.transport.http", id="77", data={"event": event}), handle=None, session=None
        )

    def gap(self, **dropped: int) -> "Call":
        return self.add(e.Gap(reason="queue_full", dropped=dropped), handle=None, session=None)

    # --- judgement ---

    def verdict(self, *, final: bool = True, later: float = 0.0) -> Verdict:
        """As it stands ``later`` seconds after the last event."""
        now_us = START_US + round((self.now + later) * 1e6)
        return judge(Timeline.fold(self.events), now_us=now_us, final=final)

    def code(self, *, final: bool = True, later: float = 0.0) -> str:
        return self.verdict(final=final, later=later).code

    def explained(self) -> Explanation:
        return explain(self.events)
