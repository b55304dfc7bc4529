"""What goes between a TURN server and its client: ChannelData, and Send and Data indications (RFC 8656). What is in
them is read as the packet that it is beyond the server, between the relayed address and the peer's.
"""

from appliance.intake.pcap.key import ends_of, made_key, reversed_key
from appliance.wire import stun

MAX_CLIENTS = 20_000
MAX_CHANNELS = 1_000
_ALLOCATE, _SEND, _DATA_INDICATION, _CHANNEL_BIND = 3, 6, 7, 9
_CHANNEL_NUMBER, _PEER, _DATA, _RELAYED = 0x000C, 0x0012, 0x0013, 0x0016
_PORTS = frozenset({80, 443, 3478, 5349})

Address = tuple[str, int]


class _Client:
    __slots__ = ("address", "channels", "relayed")

    def __init__(self, address: Address) -> None:
        self.address = address
        self.relayed: Address | None = None
        self.channels: dict[int, Address] = {}


class Relays:
    """All of a capture."""

    def __init__(self) -> None:
        self._clients: dict[bytes, _Client] = {}

    def open(self, key: bytes, data: bytes, length: int) -> tuple[bytes, bytes, int] | None:
        """The packet in one that goes ``key``'s way: its own way, its bytes and its length. ``None``: there is none."""
        if 64 <= data[0] < 80:
            size = data[2] << 8 | data[3]
            # Over UDP the padding may be there or not (RFC 8656 section 12.5).
            if not size or not 0 <= length - 4 - size < 4:
                return None
            return self._through(key, data[:2], None, data[4 : 4 + size], size)
        method, kind = stun.method_and_class(data)
        found = {number: (value, size) for number, value, size in stun.attributes_as_far(data)}
        attributes = {number: value for number, (value, _) in found.items()}
        peer = _address(attributes.get(_PEER), data)
        client = self._clients.get(key)
        if kind in {stun.Class.REQUEST, stun.Class.INDICATION} and method != _DATA_INDICATION:
            client = client or self._new(key, ends_of(key)[0])
        elif kind is stun.Class.SUCCESS or method == _DATA_INDICATION:
            client = client or self._new(key, ends_of(key)[1])
        if client is None:
            return None
        if method == _ALLOCATE and kind is stun.Class.SUCCESS:
            client.relayed = _address(attributes.get(_RELAYED), data) or client.relayed
        elif method == _CHANNEL_BIND and kind is stun.Class.REQUEST and peer is not None:
            number = int.from_bytes(attributes.get(_CHANNEL_NUMBER, b"")[:2], "big")
            if len(client.channels) < MAX_CHANNELS:
                client.channels[number] = peer
        elif method in {_SEND, _DATA_INDICATION} and _DATA in attributes:
            return self._through(key, b"", peer, *found[_DATA])
        return None

    def _new(self, key: bytes, address: Address) -> _Client | None:
        if len(self._clients) >= 2 * MAX_CLIENTS:
            return None
        made = self._clients[key] = self._clients[reversed_key(key)] = _Client(address)
        return made

    def _through(
        self, key: bytes, channel: bytes, peer: Address | None, data: bytes, size: int
    ) -> tuple[bytes, bytes, int] | None:
        source, destination = ends_of(key)
        client = self._clients.get(key)
        if client is None:
            # In the middle of an allocation: servers are known by their ports.
            is_server = source[1] in _PORTS or (destination[1] not in _PORTS and source[1] < destination[1])
            client = self._new(key, destination if is_server else source)
        if client is None or not data:
            return None
        to_peer = client.address == source
        server = destination if to_peer else source
        # What was agreed on before the capture began has the next best name.
        relayed = client.relayed or client.address
        number = int.from_bytes(channel, "big")
        peer = peer or client.channels.get(number) or (server[0], number)
        if (":" in peer[0]) != (":" in relayed[0]):
            relayed, peer = client.address, (server[0], peer[1])
        return made_key(relayed, peer) if to_peer else made_key(peer, relayed), data, size


def _address(value: bytes | None, data: bytes) -> Address | None:
    return None if value is None else stun.read_xor_address(value, data[8:20])
