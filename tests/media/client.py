"""A WebRTC client in small, over a real socket and without an event loop: every datagram moves when a test says so."""

import secrets
import socket
import struct
from collections.abc import Callable
from typing import Any

from appliance.core.clock import Clock
from appliance.core.events import DtlsAlert
from appliance.media import srtp
from appliance.media.dtls import Dtls
from appliance.media.engine import Engine
from appliance.media.identity import HASHES, DtlsIdentity
from appliance.wire import rtcp, sdp, stun
from appliance.wire.description import Fingerprint
from appliance.wire.rtp import RtpHeader, parse_header

IDENTITY = DtlsIdentity()
"""One for all clients: making one takes longer than most tests."""

MEDIA = {
    "audio": ("audio 9 UDP/TLS/RTP/SAVPF 111", ["a=rtpmap:111 opus/48000/2"]),
    "video": (
        "video 9 UDP/TLS/RTP/SAVPF 96",
        [
            "a=rtpmap:96 VP8/90000",
            "a=rtcp-fb:96 nack",
            "a=rtcp-fb:96 nack pli",
            "a=rtcp-fb:96 ccm fir",
            "a=rtcp-fb:96 goog-remb",
        ],
    ),
    "data": ("application 9 UDP/DTLS/SCTP webrtc-datachannel", ["a=sctp-port:5000", "a=max-message-size:262144"]),
}
PAYLOAD_TYPES = {"audio": 111, "video": 96}


class Client:
    """Offers, checks, shakes hands, sends and receives; ``kinds`` are its m-lines in order."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        *,
        kinds: tuple[str, ...] = ("audio", "video"),
        setup: str = "actpass",
        candidates: tuple[str, ...] = (),
        directions: tuple[str, ...] = (),
        host: str = "127.0.0.1",
        extra: dict[str, list[str]] | None = None,
        formats: dict[str, str] | None = None,
        fingerprint: Fingerprint | None = None,
    ) -> None:
        self.engine = engine
        self.clock = clock
        self.kinds = kinds
        self.setup = setup
        self.candidates = candidates
        self.directions = directions or ("sendrecv",) * len(kinds)
        self.extra = extra or {}
        self.formats = formats or {}
        """What follows the payload types of a kind's m-line."""
        self.fingerprint = fingerprint or IDENTITY.fingerprint
        self.ufrag, self.pwd = secrets.token_hex(4), secrets.token_hex(12)
        self.ssrcs = {kind: 1000 + index for index, kind in enumerate(kinds)}
        self.host = host
        self.socket = self._bound()
        self.answer: sdp.SessionDescription | None = None
        self.server: tuple[str, int] = (host, 0)
        self.answers_probes = True
        self.disputes_roles = False
        self.mapped: tuple[str, int] | None = None
        """Where the gateway's checks seem to come from; ``None``: where they do."""
        self.probes: list[stun.StunMessage] = []
        self.responses: list[stun.StunMessage] = []
        self.dtls: Dtls | None = None
        self.connected = False
        self.failure: str | None = None
        self.alerts: list[DtlsAlert] = []
        self.peer_closed = False
        self.data: list[bytes] = []
        self.packets: list[tuple[RtpHeader, bytes]] = []
        self.reports: list[rtcp.Packet] = []
        self.ignored: list[bytes] = []
        self.listener: Callable[[bytes], bool] = lambda _data: True
        """Sees every datagram that comes, and loses those that it returns false for."""
        self._tx: srtp.Context | None = None
        self._rx: srtp.Context | None = None

    def _bound(self) -> socket.socket:
        found = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET, socket.SOCK_DGRAM)
        found.bind((self.host, 0))
        found.setblocking(False)
        return found

    @property
    def address(self) -> tuple[str, int]:
        name = self.socket.getsockname()
        return name[0], name[1]

    def close(self) -> None:
        self.socket.close()

    # --- description

    @property
    def own_candidate(self) -> str:
        host, port = self.address
        return f"candidate:7 1 udp 2130706431 {host} {port} typ host"

    def offer(self) -> str:
        lines = ["v=0", "o=- 1 2 IN IP4 127.0.0.1", "s=-", "t=0 0"]
        lines.append("a=group:BUNDLE " + " ".join(str(index) for index in range(len(self.kinds))))
        for index, (kind, direction) in enumerate(zip(self.kinds, self.directions, strict=True)):
            first, rest = MEDIA[kind]
            lines += [f"m={first}{self.formats.get(kind, '')}", "c=IN IP4 0.0.0.0", f"a=mid:{index}", *rest]
            lines += self.extra.get(kind, [])
            lines += [f"a=ice-ufrag:{self.ufrag}", f"a=ice-pwd:{self.pwd}", f"a=setup:{self.setup}"]
            lines.append(f"a=fingerprint:{self.fingerprint.algorithm} {self.fingerprint.value}")
            if kind != "data":
                lines += [f"a={direction}", "a=rtcp-mux", f"a=ssrc:{self.ssrcs[kind]} cname:client"]
            if index == 0:
                lines += [f"a={candidate}" for candidate in self.candidates]
        return "\r\n".join(lines) + "\r\n"

    def take(self, answer: str) -> sdp.SessionDescription:
        self.answer = sdp.parse(answer)
        candidate = next(media for media in self.answer.media if media.port).candidates[0]
        self.server = (candidate.address, candidate.port)
        return self.answer

    @property
    def transport(self) -> sdp.MediaDescription:
        assert self.answer is not None
        return next(media for media in self.answer.media if media.port)

    def ssrc_of(self, kind: str) -> int:
        """The gateway's."""
        assert self.answer is not None
        return self.answer.media[self.kinds.index(kind)].ssrcs[0].ssrc

    # --- ICE

    def check(
        self,
        *,
        nominate: bool = True,
        pwd: str | None = None,
        priority: int = 1_845_501_695,
        controlling: int | None = 1,
        controlled: int | None = None,
    ) -> None:
        transport = self.transport
        request = stun.binding_request(
            secrets.token_bytes(12),
            f"{transport.ice_ufrag}:{self.ufrag}",
            priority,
            (pwd or transport.ice_pwd or "").encode(),
            controlling=controlling,
            controlled=controlled,
            use_candidate=nominate,
        )
        self.send(request)

    def move(self) -> None:
        """To another address, as a phone does between two networks."""
        self.socket.close()
        self.socket = self._bound()

    # --- datagrams

    def send(self, data: bytes) -> None:
        self.socket.sendto(data, self.server)

    def pump(self) -> None:
        """Let everything arrive that is on its way, in both directions."""
        for _ in range(200):
            moved = 0
            for port in self.engine.ports:
                before = port.received
                self.engine._readable(port)
                moved += port.received - before
            moved += self.drain()
            if not moved:
                return
        raise AssertionError("it never comes to rest")

    def drain(self) -> int:
        count = 0
        while True:
            try:
                data, _ = self.socket.recvfrom(4096)
            except BlockingIOError:
                return count
            count += 1
            if self.listener(data):
                self._received(data)

    def _received(self, data: bytes) -> None:
        if stun.is_stun(data):
            message = stun.parse(data)
            if message.message_class is not stun.Class.REQUEST:
                self.responses.append(message)
                return
            self.probes.append(message)
            if self.disputes_roles:
                self.send(stun.binding_error(message.transaction_id, 487, "Role Conflict", self.pwd.encode()))
            elif self.answers_probes:
                seen = self.mapped or self.server
                self.send(stun.binding_response(message.transaction_id, seen, self.pwd.encode()))
        elif 19 < data[0] < 64:
            if self.dtls is not None:
                self.dtls.receive(data)
            else:
                self.ignored.append(data)
        elif self._rx is not None and 127 < data[0] < 192:
            self._media(data)
        else:
            self.ignored.append(data)

    # --- DTLS

    def start_dtls(self, *, identity: DtlsIdentity = IDENTITY) -> Dtls:
        """Become client, or server where the answer says active."""
        self.dtls = Dtls(
            identity,
            self.clock,
            self,
            self.send,
            is_client=self.transport.setup != "active",
            fingerprints=self.transport.fingerprints,
        )
        self.dtls.start()
        return self.dtls

    def dtls_retransmitted(self, count: int) -> None: ...

    def dtls_connected(self) -> None:
        assert self.dtls is not None
        self.connected = True
        keys = self.dtls.keys()
        assert keys is not None
        assert self.dtls.profile is not None
        self._tx = srtp.Context(keys[0], self.dtls.profile, outbound=True)
        self._rx = srtp.Context(keys[1], self.dtls.profile, outbound=False)

    def dtls_failed(self, reason: str) -> None:
        self.failure = reason

    def dtls_secret(self, line: str) -> None:
        pass

    def dtls_alert(self, alert: DtlsAlert) -> None:
        self.alerts.append(alert)

    def dtls_closed(self) -> None:
        self.peer_closed = True

    def dtls_data(self, data: bytes) -> None:
        self.data.append(data)

    # --- media

    def rtp(
        self,
        kind: str,
        sequence: int,
        timestamp: int,
        payload: bytes = b"x" * 100,
        *,
        ssrc: int | None = None,
        payload_type: int | None = None,
        extension: bytes = b"",
    ) -> bytes:
        """One SRTP packet."""
        packet = struct.pack(
            "!BBHII",
            0x90 if extension else 0x80,
            PAYLOAD_TYPES[kind] if payload_type is None else payload_type,
            sequence & 0xFFFF,
            timestamp & 0xFFFFFFFF,
            self.ssrcs[kind] if ssrc is None else ssrc,
        )
        return self._protect(packet + extension + payload, srtp.protect)

    def send_rtp(self, kind: str, sequence: int, timestamp: int, payload: bytes = b"x" * 100, **more: Any) -> None:
        self.send(self.rtp(kind, sequence, timestamp, payload, **more))

    def send_rtcp(self, *packets: rtcp.Packet) -> None:
        self.send(self._protect(rtcp.build_compound(packets), srtp.protect_rtcp))

    def _protect(self, packet: bytes, function: Any) -> bytes:
        assert self._tx is not None
        buffer = bytearray(packet) + bytearray(64)
        _pin, (pointer,) = srtp.pointers(buffer, len(buffer), 1)
        srtp.LENGTH[0] = len(packet)
        assert function(self._tx.handle, pointer, srtp.LENGTH) == 0
        return bytes(buffer[: srtp.LENGTH[0]])

    def _media(self, data: bytes) -> None:
        assert self._rx is not None
        is_rtcp = 191 < data[1] < 224
        buffer = bytearray(data)
        _pin, (pointer,) = srtp.pointers(buffer, len(buffer), 1)
        srtp.LENGTH[0] = len(data)
        status = (srtp.unprotect_rtcp if is_rtcp else srtp.unprotect)(self._rx.handle, pointer, srtp.LENGTH)
        assert status in {0, *srtp.REPLAYED}
        if status:
            return
        plain = bytes(buffer[: srtp.LENGTH[0]])
        if is_rtcp:
            self.reports += rtcp.parse_compound(plain)
        else:
            header = parse_header(plain)
            self.packets.append((header, plain[header.size :]))

    def connect(self) -> None:
        """ICE and DTLS."""
        if self.transport.setup == "active":
            self.start_dtls()
        self.check()
        self.pump()
        if self.dtls is None:
            self.start_dtls()
            self.pump()
        assert self.connected


assert IDENTITY.fingerprint.algorithm in HASHES
