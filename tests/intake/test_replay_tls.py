"""Signalling and TURN over TLS, made by OpenSSL: with the secrets that it logs they are read as in clear."""

import random
import ssl
from pathlib import Path

import pytest

from appliance.intake.pcap.keys import KeyLog
from appliance.intake.pcap.reader import CaptureReader
from appliance.intake.pcap.tls import TlsConnection
from tests.hep.certificates import certificate
from tests.intake.test_replay import explained, raw
from tests.intake.wrapped import FILE_HEAD, Address, Connections, packets, record, through_turn

TLS_12 = [
    "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305",
]  # fmt: skip
CASE = "chrome_echo_http"


class Pair:
    """A TLS client and its server, in memory."""

    def __init__(self, folder: Path, ciphers: str | None) -> None:
        pem, key = certificate(folder, "janus")
        server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        server.load_cert_chain(pem, key)
        client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
        client.keylog_filename = str(folder / "keys.log")
        if ciphers is not None:
            client.maximum_version = ssl.TLSVersion.TLSv1_2
            client.set_ciphers(ciphers)
        self.bios = [(ssl.MemoryBIO(), ssl.MemoryBIO()) for _ in range(2)]
        self.ends = [
            client.wrap_bio(*self.bios[0], server_hostname="janus"), server.wrap_bio(*self.bios[1], server_side=True),
        ]  # fmt: skip
        self.hello = self._shake_hands()

    def _shake_hands(self) -> list[tuple[int, bytes]]:
        """What goes to and fro; by 0, who is the client."""
        sent, done = [], [False, False]
        while not all(done):
            for end in (0, 1):
                try:
                    self.ends[end].do_handshake()
                    done[end] = True
                except ssl.SSLWantReadError:
                    pass
                if data := self.bios[end][1].read():
                    sent.append((end, data))
                    self.bios[1 - end][0].write(data)
        return sent

    def sent(self, end: int, data: bytes) -> bytes:
        self.ends[end].write(data)
        out = self.bios[end][1].read()
        self.bios[1 - end][0].write(out)
        assert self.ends[1 - end].read(len(data)) == data
        return out


def over_tls(data: bytes, folder: Path, port: int, ciphers: str | None, cut_at: int = 1_400) -> tuple[bytes, bytes]:
    """The capture with every connection to that port inside TLS, and the log of its secrets."""
    connections, pairs, out = Connections(), dict[Address, Pair](), []
    for packet in packets(data):
        if packet.raw[9] != 6 or port not in (packet.source[1], packet.destination[1]):
            out.append(record(packet.head, packet.raw))
            continue
        offset = 20 + 4 * (packet.raw[20 + 12] >> 4)
        payload = packet.raw[offset : int.from_bytes(packet.raw[2:4], "big")]
        if not payload:
            continue
        end = int(packet.source[1] == port)
        ways = [(packet.source, packet.destination), (packet.destination, packet.source)]
        client = ways[end][0]
        sent = []
        if client not in pairs:
            pairs[client] = Pair(folder, ciphers)
            sent = pairs[client].hello
        sent = [*sent, (end, pairs[client].sent(end, payload))]
        for whose, message in sent:
            pieces = [message[at : at + cut_at] for at in range(0, len(message), cut_at)]
            out += [record(packet.head, connections.segment(*ways[whose ^ end], piece)) for piece in pieces]
    return FILE_HEAD + b"".join(out), (folder / "keys.log").read_bytes()


@pytest.mark.parametrize("ciphers", [None, *TLS_12])
def test_signalling_over_tls_is_read_with_its_secrets(ciphers: str | None, tmp_path: Path) -> None:
    data = raw(CASE)
    changed, log = over_tls(data, tmp_path, 8088, ciphers)
    reader = CaptureReader("x", KeyLog(log))
    (call,) = explained(reader.read(changed))
    (plain,) = explained(CaptureReader("x").read(data))
    assert (call.verdict.code, call.verdict.also) == (plain.verdict.code, plain.verdict.also) == ("ended_by_app", ())
    assert [text.sdp for text in call.descriptions] == [text.sdp for text in plain.descriptions]
    assert reader.tally.tls == 0


def test_without_the_secrets_it_is_told_that_signalling_is_unknown(tmp_path: Path) -> None:
    changed, log = over_tls(raw(CASE), tmp_path, 8088, None)
    for keys in (None, KeyLog(b""), KeyLog(log.replace(b"SERVER_TRAFFIC_SECRET_0", b"SERVER_TRAFFIC_SECRET_9"))):
        reader = CaptureReader("x", keys)
        (call,) = explained(reader.read(changed))
        assert call.verdict.also == ("evidence_incomplete",)
        assert reader.tally.tls == len({p.source for p in packets(changed) if p.raw[9] == 6 and p.source[1] != 8088})


@pytest.mark.parametrize("ciphers", [None, TLS_12[1]])
def test_a_client_of_turn_over_tls_is_read_too(ciphers: str | None, tmp_path: Path) -> None:
    data = raw(CASE)
    (client, _), *_ = [(p.source, p.destination) for p in packets(data) if p.payload]
    inside = FILE_HEAD + b"".join(through_turn(data, client, channel=True, is_tcp=True))
    changed, log = over_tls(inside, tmp_path, 3478, ciphers)
    reader = CaptureReader("x", KeyLog(log))
    (call,) = explained(reader.read(changed))
    assert call.verdict.code == "ended_by_app"
    assert reader.tally.relayed == sum(1 for packet in packets(data) if packet.payload)


@pytest.mark.parametrize("ciphers", [None, *TLS_12])
def test_what_the_capture_lost_costs_its_own_records(ciphers: str | None, tmp_path: Path) -> None:
    pair = Pair(tmp_path, ciphers)
    log = KeyLog((tmp_path / "keys.log").read_bytes())
    sent = [pair.sent(0, b"m%d" % number * 20) for number in range(6)]
    tls = TlsConnection(log)
    assert [out for end, data in pair.hello for out in tls.feed(end, data)] == []
    sent[2] = sent[2][:20] + bytes(len(sent[2]) - 20)
    sent[4] = sent[4][:5] + bytes(len(sent[4]) - 5)
    found = [out for data in sent for out in tls.feed(0, data)]
    assert [out[:2] for out in found] == [b"m0", b"m1", b"\0\0", b"m3", b"\0\0", b"m5"]
    assert {len(out) for out in found} == {40}


@pytest.mark.parametrize("seed", range(30))
def test_spoilt_connections_break_nothing(seed: int, tmp_path: Path) -> None:
    numbers, pair = random.Random(seed), Pair(tmp_path, TLS_12[seed % 3] if seed % 2 else None)
    tls = TlsConnection(KeyLog((tmp_path / "keys.log").read_bytes()))
    for end, data in [*pair.hello, (0, pair.sent(0, b"x" * 500)), (1, pair.sent(1, b"y" * 500))]:
        spoilt = bytearray(data)
        for _ in range(numbers.randrange(4)):
            spoilt[numbers.randrange(len(spoilt))] = numbers.randrange(256)
        for out in tls.feed(end, bytes(spoilt)):
            assert len(out) <= 16_384 + 256
