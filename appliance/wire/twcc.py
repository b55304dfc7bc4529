"""Transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1).

What stands in :attr:`appliance.wire.rtcp.TransportFeedback.control`: which packets of a range of transport-wide
sequence numbers came, and when.
"""

import struct
from collections.abc import Sequence

from msgspec import Struct

EXTENSION = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
"""URI of the header extension that carries the sequence number, 2 bytes."""
TICKS_PER_SECOND = 4000
"""Arrival times count in 250 us."""
TICKS_PER_REFERENCE = 256
"""The reference time counts in 64 ms."""
TIME_WRAP = TICKS_PER_REFERENCE << 24
"""Ticks after which arrival times begin anew."""
MAX_STATUSES = 8192
"""Packets that one feedback may speak of here; 16 bits would allow a run of nothing to cost us 65,535 steps."""

_HEAD = struct.Struct("!HHI")
_MAX_RUN = 0x1FFF
_LOST, _SMALL, _LARGE = 0, 1, 2


class TwccDecodeError(ValueError):
    """Malformed feedback; says which field, its value, and what was wanted."""


class TwccFeedback(Struct, frozen=True):
    """One feedback message."""

    base: int
    """Transport-wide sequence number of the first packet it speaks of, 0..65535."""
    number: int
    """Counts feedback messages, 0..255."""
    arrivals: tuple[int | None, ...]
    """When each packet from ``base`` on came, ticks of 250 us of the receiver's clock, modulo :data:`TIME_WRAP` for the
    first and continuous from there; ``None`` for those that did not come."""

    def build(self) -> bytes:
        """Feedback control information, padded with zeros to a multiple of 4 bytes.

        :raises ValueError: no packet came, there are too many, or two neighbours came more than 8 s apart.
        """
        first = next((tick for tick in self.arrivals if tick is not None), None)
        if first is None or len(self.arrivals) > MAX_STATUSES:
            raise ValueError(f"feedback of {len(self.arrivals)} packets, wanted 1..{MAX_STATUSES}, and one that came")
        reference = first // TICKS_PER_REFERENCE
        time = reference * TICKS_PER_REFERENCE
        symbols = bytearray()
        deltas = bytearray()
        for tick in self.arrivals:
            if tick is None:
                symbols.append(_LOST)
                continue
            delta = tick - time
            time = tick
            if 0 <= delta <= 255:
                symbols.append(_SMALL)
                deltas.append(delta)
            elif -0x8000 <= delta <= 0x7FFF:
                symbols.append(_LARGE)
                deltas += delta.to_bytes(2, "big", signed=True)
            else:
                raise ValueError(f"delta is {delta} ticks, wanted -32768..32767")
        head = _HEAD.pack(self.base, len(symbols), (reference & 0xFFFFFF) << 8 | self.number & 0xFF)
        data = head + _chunks(symbols) + deltas
        return data + bytes(-len(data) & 3)


def parse(control: bytes) -> TwccFeedback:
    """Read feedback control information. :raises TwccDecodeError: it is cut short, or speaks of too many packets."""
    total = len(control)
    if total < _HEAD.size + 2:
        raise TwccDecodeError(f"feedback has {total} bytes, wanted at least {_HEAD.size + 2}")
    base, count, reference = _HEAD.unpack_from(control)
    if not 0 < count <= MAX_STATUSES:
        raise TwccDecodeError(f"packet status count is {count}, wanted 1..{MAX_STATUSES}")
    symbols = bytearray()
    offset = _HEAD.size
    while len(symbols) < count:
        if offset + 2 > total:
            raise TwccDecodeError(f"feedback ends after {len(symbols)} of {count} statuses")
        chunk = control[offset] << 8 | control[offset + 1]
        offset += 2
        if not chunk & 0x8000:
            # A run may say more than there is left.
            symbols += bytes((chunk >> 13 & 3,)) * min(chunk & _MAX_RUN, count - len(symbols))
            if not chunk & _MAX_RUN:
                raise TwccDecodeError("run length is 0, wanted at least 1")
        elif chunk & 0x4000:
            symbols += bytes(chunk >> shift & 3 for shift in range(12, -1, -2))
        else:
            symbols += bytes(chunk >> shift & 1 for shift in range(13, -1, -1))
    time = (reference >> 8) * TICKS_PER_REFERENCE
    arrivals: list[int | None] = []
    for symbol in symbols[:count]:
        size = symbol if symbol < 3 else 0
        if offset + size > total:
            raise TwccDecodeError(f"feedback ends after {len(arrivals)} of {count} deltas")
        if not size:
            # Symbol 3 is reserved: received perhaps, but without a time it says nothing.
            arrivals.append(None)
            continue
        time += control[offset] if size == 1 else int.from_bytes(control[offset : offset + 2], "big", signed=True)
        arrivals.append(time)
        offset += size
    return TwccFeedback(base, reference & 0xFF, tuple(arrivals))


def _chunks(symbols: Sequence[int]) -> bytes:
    """Packet status chunks: runs where they are longer than what a vector holds, else vectors of one or two bits."""
    chunks = bytearray()
    offset, total = 0, len(symbols)
    while offset < total:
        symbol = symbols[offset]
        end = offset + 1
        while end < total and symbols[end] == symbol and end - offset < _MAX_RUN:
            end += 1
        following = symbols[offset : offset + 14]
        fits_one_bit = _LARGE not in following
        if end == total or end - offset >= (14 if fits_one_bit else 7):
            chunks += (symbol << 13 | end - offset).to_bytes(2, "big")
            offset = end
        elif fits_one_bit:
            chunks += (0x8000 | sum(bit << 13 - at for at, bit in enumerate(following))).to_bytes(2, "big")
            offset += 14
        else:
            pairs = symbols[offset : offset + 7]
            chunks += (0xC000 | sum(pair << 12 - 2 * at for at, pair in enumerate(pairs))).to_bytes(2, "big")
            offset += 7
    return bytes(chunks)
