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
from appliance.wire.dtls import Alert, ContentType, DtlsDecodeError, Record

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
        if record.content_type is ContentType.HANDSHAKE and record.is_plaintext
        for message in dtls.handshakes(record)
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
    assert records[-1].epoch == 1
    assert records[-1].version_name == "DTLS 1.2"


def test_a_refused_certificate_leaves_a_fatal_alert() -> None:
    _, flight = handshake(accepted=False)[-1]
    [record] = dtls.records(flight)
    found = dtls.alert(record)
    assert found.is_fatal
    assert (found.level_name, found.name) == ("fatal", "unknown_ca")  # it is self-signed


def test_what_the_memory_bio_ran_together_is_cut_at_records() -> None:
    for _, flight in handshake(accepted=True):
        parts = dtls.split_records(flight)
        assert b"".join(parts) == flight
        assert [len(dtls.records(part)) for part in parts] == [1] * len(parts)
        joined = dtls.split_records(flight, 600)
        assert b"".join(joined) == flight
        assert max(map(len, joined)) <= max(600, *map(len, parts))
        assert len(joined) <= len(parts)


def test_with_a_limit_records_share_a_datagram() -> None:
    data = ALERT + CHANGE_CIPHER_SPEC + ALERT
    assert dtls.split_records(data) == [ALERT, CHANGE_CIPHER_SPEC, ALERT]
    assert dtls.split_records(data, len(ALERT + CHANGE_CIPHER_SPEC)) == [ALERT + CHANGE_CIPHER_SPEC, ALERT]
    assert dtls.split_records(data, 1000) == [data]
    assert dtls.split_records(b"") == []


def test_fields_of_a_record_and_of_a_message() -> None:
    [record] = dtls.records(memoryview(HELLO_DONE))
    assert record == Record(ContentType.HANDSHAKE, 0xFEFD, 0, 4, HELLO_DONE[13:])
    [message] = dtls.handshakes(record)
    assert (message.name, message.length, message.message_sequence, message.is_whole) == (
        "server_hello_done",
        0,
        4,
        True,
    )


def test_an_alert_has_a_name() -> None:
    [record] = dtls.records(ALERT)
    assert dtls.alert(record) == Alert(2, 46)
    assert (dtls.alert(record).level_name, dtls.alert(record).name) == ("fatal", "certificate_unknown")
    assert dtls.alert_name(199) == "alert_199"
    assert dtls.parse_alert(b"\x01\x00") == Alert(1, 0)
    assert (Alert(1, 0).level_name, Alert(1, 0).name, Alert(1, 0).is_fatal) == ("warning", "close_notify", False)
    assert Alert(7, 0).level_name == "level_7"


def test_the_range_of_dtls() -> None:
    assert [first for first in range(256) if dtls.is_dtls(bytes((first,)))] == list(range(20, 64))
    assert not dtls.is_dtls(b"")


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b"\x99" + ALERT[1:], "content type at byte 0 is 153, wanted 20..26"),
        (ALERT[:12], "record at byte 0 has 12 bytes, wanted at least 13"),
        (b"\x15\x03" + ALERT[2:], "version at byte 1 is 0x03.., wanted 0xfe.."),
        (ALERT + ALERT[:-1], "record at byte 15 has 15 bytes, wanted at most 14"),
        (ALERT[:11] + b"\xff\xff\0\0", "record length at byte 11 is 65535, wanted at most 18432"),
        (ALERT * 257, "more than 256 records"),
    ],
)
def test_a_malformed_record_is_refused(data: bytes, wanted: str) -> None:
    with pytest.raises(DtlsDecodeError) as caught:
        dtls.records(data)
    assert str(caught.value) == wanted
    with pytest.raises(DtlsDecodeError):
        dtls.split_records(data)


def test_every_truncation_is_refused() -> None:
    for size in range(1, len(HELLO_DONE)):
        with pytest.raises(DtlsDecodeError):
            dtls.records(HELLO_DONE[:size])


def of(content_type: ContentType, fragment: bytes, epoch: int = 0) -> Record:
    return Record(content_type, 0xFEFD, epoch, 0, fragment)


@pytest.mark.parametrize(
    ("record", "wanted"),
    [
        (of(ContentType.ALERT, b""), "content type is 21, wanted 22 (handshake)"),
        (of(ContentType.HANDSHAKE, b"", 1), "epoch is 1, wanted 0: the record is encrypted"),
        (of(ContentType.HANDSHAKE, bytes(5)), "handshake at byte 0 has 5 bytes, wanted 12"),
        (
            of(ContentType.HANDSHAKE, bytes.fromhex("010000050000000000000005") + b"abc"),
            "handshake fragment length is 5, wanted at most 3",
        ),
        (
            of(ContentType.HANDSHAKE, bytes.fromhex("010000020000000000000003") + b"abc"),
            "handshake fragment ends at 3, wanted at most the message's 2",
        ),
    ],
)
def test_a_malformed_handshake_is_refused(record: Record, wanted: str) -> None:
    with pytest.raises(DtlsDecodeError) as caught:
        dtls.handshakes(record)
    assert str(caught.value) == wanted


@pytest.mark.parametrize(
    ("record", "wanted"),
    [
        (of(ContentType.HANDSHAKE, b""), "content type is 22, wanted 21 (alert)"),
        (of(ContentType.ALERT, bytes(26), 1), "epoch is 1, wanted 0: the record is encrypted"),
        (of(ContentType.ALERT, b"\x02"), "alert has 1 bytes, wanted 2"),
    ],
)
def test_a_malformed_alert_is_refused(record: Record, wanted: str) -> None:
    with pytest.raises(DtlsDecodeError) as caught:
        dtls.alert(record)
    assert str(caught.value) == wanted


@given(st.binary(max_size=100), st.integers(0, len(HELLO_DONE) - 1), st.integers(0, 255))
def test_arbitrary_bytes_raise_nothing_else(data: bytes, index: int, value: int) -> None:
    changed = bytearray(HELLO_DONE)
    changed[index] = value
    framed = HELLO_DONE[:11] + len(data).to_bytes(2, "big") + data
    for datagram in (data, bytes(changed), framed):
        try:
            assert b"".join(dtls.split_records(datagram, 50)) == datagram
            for record in dtls.records(datagram):
                if record.content_type is ContentType.ALERT:
                    dtls.alert(record)
                else:
                    dtls.handshakes(record)
        except DtlsDecodeError:
            continue
