import datetime
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL

from appliance.wire import dtls
from appliance.wire.dtls import ContentType, Handshake, Record

CHANGE_CIPHER_SPEC = bytes.fromhex("14fefd0000000000000006000101")
ALERT = bytes.fromhex("15fefd00000000000000070002022e")
HELLO_DONE = bytes.fromhex("16fefd0000000000000004000c0e0000000004000000000000")


def context(verify: Callable[..., bool]) -> SSL.Context:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    start = datetime.datetime(2020, 1, 1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start.replace(year=2199))
        .sign(key, hashes.SHA256())
    )
    made = SSL.Context(SSL.DTLS_METHOD)
    made.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, verify)
    made.use_privatekey(key)
    made.use_certificate(certificate)
    made.set_options(SSL.OP_NO_TICKET)
    # OpenSSL 4 offers DTLS 1.2 at most through this method; the cipher is one that browsers take.
    made.set_cipher_list(b"ECDHE-ECDSA-AES128-GCM-SHA256")
    return made


def handshake(*, accepted: bool) -> list[tuple[str, bytes]]:
    """Every flight of a handshake between two OpenSSL ends, as their memory BIOs give it."""
    client = SSL.Connection(context(lambda *_: True), None)
    server = SSL.Connection(context(lambda *_: accepted), None)
    client.set_connect_state()
    server.set_accept_state()
    flights: list[tuple[str, bytes]] = []
    ends = [("client", client, server), ("server", server, client)]
    for end in (client, server):
        end.set_ciphertext_mtu(600)
    for turn in range(12):
        name, end, peer = ends[turn % 2]
        try:
            end.do_handshake()
        except SSL.WantReadError:
            pass
        except SSL.Error:
            pass  # the refusal: what matters is the alert that it leaves in the BIO
        flight = b""
        while True:
            try:
                flight += end.bio_read(65536)
            except SSL.WantReadError:
                break
        if flight:
            flights.append((name, flight))
            for datagram in dtls.split_records(flight):
                peer.bio_write(datagram)
    return flights


def test_a_handshake_of_openssl_reads_as_it_should() -> None:
    flights = handshake(accepted=True)
    names = [
        (side, record.epoch, message.name)
        for side, flight in flights
        for record in dtls.records(flight)
        if record.content_type == ContentType.HANDSHAKE and not record.epoch
        for message in dtls.handshakes(record.fragment)
        if message.fragment_offset == 0
    ]
    assert names == [
        ("client", 0, "client_hello"),
        ("server", 0, "server_hello"),
        ("server", 0, "certificate"),
        ("server", 0, "server_key_exchange"),
        ("server", 0, "certificate_request"),
        ("server", 0, "server_hello_done"),
        ("client", 0, "certificate"),
        ("client", 0, "client_key_exchange"),
        ("client", 0, "certificate_verify"),
    ]
    records = [record for _, flight in flights for record in dtls.records(flight)]
    assert (records[-1].epoch, records[-1].version) == (1, 0xFEFD)


def test_a_refused_certificate_leaves_a_fatal_alert() -> None:
    _, flight = handshake(accepted=False)[-1]
    [record] = dtls.records(flight)
    assert (record.content_type, record.epoch, record.fragment[0]) == (ContentType.ALERT, 0, 2)
    assert dtls.alert_name(record.fragment[1]) == "unknown_ca"  # it is self-signed


def test_what_the_memory_bio_ran_together_is_cut_at_records() -> None:
    for _, flight in handshake(accepted=True):
        parts = dtls.split_records(flight)
        assert b"".join(parts) == flight
        assert [[record.length for record in dtls.records(part)] for part in parts] == [
            [len(one) - 13] for one in parts
        ]
    assert dtls.split_records(ALERT + CHANGE_CIPHER_SPEC + ALERT[:-1]) == [ALERT, CHANGE_CIPHER_SPEC]
    assert dtls.split_records(b"") == []


def test_fields_of_a_record_and_of_a_message() -> None:
    [record] = dtls.records(HELLO_DONE)
    assert record == Record(ContentType.HANDSHAKE, 0xFEFD, 0, 4, 12, HELLO_DONE[13:])
    [message] = dtls.handshakes(record.fragment)
    assert message == Handshake(14, 0, 4, 0, b"")
    assert message.name == "server_hello_done"
    assert Handshake(99, 0, 0, 0, b"").name == ""


def test_names() -> None:
    [record] = dtls.records(ALERT)
    assert [dtls.alert_name(code) for code in (record.fragment[1], 199)] == ["certificate_unknown", "alert_199"]
    assert [dtls.content_name(number) for number in (19, 20, 21, 22, 23, 24)] == [
        "other", "change_cipher_spec", "alert", "handshake", "application_data", "other",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "lengths"),
    [
        (b"", []),
        (ALERT[:12], []),
        (b"\x15\x03" + ALERT[2:], []),
        (ALERT[:13], [(2, 0)]),
        (ALERT[:14], [(2, 1)]),
        (ALERT + ALERT[:14], [(2, 2), (2, 1)]),
        # The unified header of DTLS 1.3 (RFC 9147 section 4).
        (ALERT + bytes.fromhex("2f0001000a") + bytes(20), [(2, 2)]),
        (ALERT[:11] + b"\xff\xff\0\0", [(65_535, 2)]),
    ],
)
def test_a_datagram_is_read_as_far_as_it_goes(data: bytes, lengths: list[tuple[int, int]]) -> None:
    assert [(record.length, len(record.fragment)) for record in dtls.records(data)] == lengths


def test_messages_are_read_as_far_as_they_go() -> None:
    two = bytes.fromhex("010000050001000000000003") + b"abc" + bytes.fromhex("010000050001000003000002") + b"de"
    first, second = Handshake(1, 5, 1, 0, b"abc"), Handshake(1, 5, 1, 3, b"de")
    assert list(dtls.handshakes(two)) == [first, second]
    assert list(dtls.handshakes(two[:-1])) == [first, Handshake(1, 5, 1, 3, b"d")]
    assert list(dtls.handshakes(two[:20])) == [first]


@given(st.binary(max_size=100), st.integers(0, len(HELLO_DONE) - 1), st.integers(0, 255))
def test_arbitrary_bytes_raise_nothing(data: bytes, index: int, value: int) -> None:
    changed = bytearray(HELLO_DONE)
    changed[index] = value
    framed = HELLO_DONE[:11] + len(data).to_bytes(2, "big") + data
    for datagram in (data, bytes(changed), framed):
        assert datagram.startswith(b"".join(dtls.split_records(datagram)))
        for record in dtls.records(datagram):
            assert sum(len(message.fragment) for message in dtls.handshakes(record.fragment)) <= len(record.fragment)
