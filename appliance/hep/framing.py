"""Cuts a byte stream into HEPv3 packets, which TCP and TLS carry one after the other.

A packet is framed by its own length (bytes 4 and 5) alone, as the receivers in use do it: a packet with a bad magic
and a right length costs only itself.
"""

from collections.abc import Iterator

from appliance.hep.layout import HEADER_SIZE, MAX_PACKET


class HepFramingError(ValueError):
    """The stream cannot be read any further; the message says which length came and which was wanted."""


class Framer:
    """Feed it what arrives, get whole packets."""

    def __init__(self, max_packet: int = MAX_PACKET) -> None:
        self._max = max_packet
        self._buffer = bytearray()

    @property
    def waiting(self) -> int:
        """Bytes of a packet that has not come whole; at most one packet's."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The packets that are complete now.

        :raises HepFramingError: a length is below 6 or above the limit; the packets before it have been given. The
            connection has to be closed.
        """
        buffer = self._buffer
        buffer += data
        offset, size = 0, len(buffer)
        try:
            while size - offset >= HEADER_SIZE:
                length = buffer[offset + 4] << 8 | buffer[offset + 5]
                if not HEADER_SIZE <= length <= self._max:
                    raise HepFramingError(f"packet length: {length} came, wanted {HEADER_SIZE} to {self._max}")
                if size - offset < length:
                    break
                packet = bytes(buffer[offset : offset + length])
                offset += length
                yield packet
        finally:
            del buffer[:offset]
