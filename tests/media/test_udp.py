import socket
from collections.abc import Iterator

import pytest

from appliance.media.config import BATCH, DATAGRAM_BYTES
from appliance.media.udp import OUTGOING, UdpPort, address_of, pinned, sockaddr


def make(host: str = "127.0.0.1", port: int = 0) -> UdpPort:
    return UdpPort(host, port, announced=host, receive_buffer_bytes=1 << 22)


@pytest.fixture
def port() -> Iterator[UdpPort]:
    found = make()
    yield found
    found.close()


@pytest.fixture
def sender() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        found.setblocking(False)
        yield found


def read_all(port: UdpPort) -> list[bytes]:
    found: list[bytes] = []
    while port.drain(0.0, lambda _port, _key, data: found.append(data)):
        pass
    return found


@pytest.mark.parametrize(("host", "number"), [("127.0.0.1", 10000), ("192.0.2.7", 1), ("2001:db8::1", 65535)])
def test_addresses_go_there_and_back(host: str, number: int) -> None:
    assert address_of(sockaddr(host, number)) == (host, number)


def test_the_key_is_what_the_kernel_writes(port: UdpPort, sender: socket.socket) -> None:
    keys: list[bytes] = []
    sender.sendto(b"\x01", ("127.0.0.1", port.port))
    port.drain(0.0, lambda _port, key, _data: keys.append(key))
    assert keys == [sockaddr(*sender.getsockname())]


def test_a_wake_up_reads_one_batch_and_leaves_the_rest(port: UdpPort, sender: socket.socket) -> None:
    for index in range(BATCH + 10):
        sender.sendto(b"\x01" + bytes([index]), ("127.0.0.1", port.port))
    found: list[bytes] = []
    assert port.drain(0.0, lambda _port, _key, data: found.append(data)) == BATCH
    assert found == [b"\x01" + bytes([index]) for index in range(BATCH)]
    assert len(read_all(port)) == 10


def test_empty_short_and_cut_datagrams_harm_nothing(port: UdpPort, sender: socket.socket) -> None:
    # First something long, so that its bytes stand in the slots that shorter ones come to.
    for data in (b"\x90" * 500, b"", b"\x80", b"\x80" * 3000, b"\x16" * DATAGRAM_BYTES, b"\x01ok"):
        sender.sendto(data, ("127.0.0.1", port.port))
    assert read_all(port) == [b"", b"\x80", b"\x01ok"]
    assert port.unknown_media == 1
    assert port.oversize == 2


def test_media_goes_to_whom_the_address_belongs(port: UdpPort, sender: socket.socket) -> None:
    got: list[tuple[bytes, float]] = []
    port.media[sockaddr(*sender.getsockname())] = lambda slot, length, now: got.append((bytes(slot[0][:length]), now))
    sender.sendto(b"\x80media", ("127.0.0.1", port.port))
    sender.sendto(b"\x00other", ("127.0.0.1", port.port))
    others: list[bytes] = []
    port.drain(7.5, lambda _port, _key, data: others.append(data))
    assert got == [(b"\x80media", 7.5)]
    assert others == [b"\x00other"]


def test_a_batch_goes_out_in_order_and_more_than_a_batch_too(port: UdpPort, sender: socket.socket) -> None:
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    name = pinned(sockaddr(*sender.getsockname()))
    for index in range(OUTGOING + 5):
        view, _, base = port.spare()
        view[:2] = index.to_bytes(2, "big")
        port.queue(base, 2, name)
    port.flush()
    received = [int.from_bytes(sender.recv(16), "big") for _ in range(OUTGOING + 5)]
    assert received == list(range(OUTGOING + 5))
    assert port.sent == OUTGOING + 5


def test_what_cannot_be_sent_is_counted_and_the_rest_goes_on(port: UdpPort, sender: socket.socket) -> None:
    good, bad = pinned(sockaddr(*sender.getsockname())), pinned(sockaddr("127.0.0.1", 0))
    for name in (good, bad, good):
        _, _, base = port.spare()
        port.queue(base, 4, name)
    port.flush()
    assert len([sender.recv(16) for _ in range(2)]) == 2
    assert port.send_errors == {"other": 1}
    port.send(b"x", sockaddr("127.0.0.1", 0))
    assert port.send_errors == {"other": 2}


def test_ipv6_has_its_own_socket() -> None:
    port = make("::1")
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
        sender.bind(("::1", 0))
        sender.settimeout(1)
        sender.sendto(b"\x01six", ("::1", port.port))
        got: list[tuple[bytes, bytes]] = []
        port.drain(0.0, lambda _port, key, data: got.append((key, data)))
        assert got == [(sockaddr(*sender.getsockname()[:2]), b"\x01six")]
        view, _, base = port.spare()
        view[:4] = b"back"
        name = pinned(got[0][0])
        port.queue(base, 4, name)
        port.flush()
        assert sender.recv(16) == b"back"
    port.close()


def test_an_address_that_cannot_be_had_is_named(port: UdpPort) -> None:
    with pytest.raises(OSError, match=rf"media address 127.0.0.1 port {port.port}: Address already in use"):
        make(port=port.port)
    with pytest.raises(OSError, match=r"media address 192\.0\.2\.1 port 0: "):
        make("192.0.2.1")
