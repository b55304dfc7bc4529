"""Reads what Janus writes with ``start_text2pcap``: ``I 02:17:22.410707 000000  90 e1 47 ...`` a line, RTP and RTCP in
clear. The lines know no date, no address and no port, so those are made up.
"""

import re
from collections.abc import Iterator

from appliance.wire.pcap import LinkType, Writer

CLIENT = ("192.0.2.1", 5000)
SERVER = ("192.0.2.2", 6000)
"""Of the documentation range (RFC 5737)."""
MAX_LINE = 16_384
DAY_NS = 86_400 * 10**9
_LINE = re.compile(rb"([IO]) (\d\d):(\d\d):(\d\d)\.(\d{6}) \d+ +((?:[0-9a-f]{2} +)+)")
"""What comes behind the bytes names the session and the handle, for people."""


class Text2pcapDecodeError(ValueError):
    """A line is none; says which and what was wanted."""


def is_text2pcap(head: bytes) -> bool:
    """Whether a file begins like one."""
    return head[:2] in {b"I ", b"O "} and head[4:5] == b":" and head[7:8] == b":"


def to_pcap(lines: Iterator[bytes], day_ns: int = 0) -> Iterator[bytes]:
    """The same as a pcap file, in pieces: ``I`` from the client, ``O`` to it. ``day_ns`` is its day's beginning.

    :raises Text2pcapDecodeError: a line is no such line; the last may be cut.
    """
    writer = Writer(link_type=LinkType.RAW)
    yield writer.file_header()
    before = 0
    problem: Text2pcapDecodeError | None = None
    for number, line in enumerate(lines, 1):
        if problem is not None:
            raise problem
        if not line.strip():
            continue
        found = _LINE.match(line) if len(line) <= MAX_LINE else None
        if found is None:
            wanted = "I|O hh:mm:ss.ffffff 000000 hex"
            problem = Text2pcapDecodeError(f"line {number}: {line[:40]!r} came, wanted {wanted!r}")
            continue
        hours, minutes, seconds, micros = (int(found[group]) for group in (2, 3, 4, 5))
        nanoseconds = ((hours * 60 + minutes) * 60 + seconds) * 10**9 + micros * 1000
        payload = bytes.fromhex(found[6].decode("ascii"))
        ends = (CLIENT, SERVER) if found[1] == b"I" else (SERVER, CLIENT)
        if nanoseconds < before - DAY_NS // 2:
            day_ns += DAY_NS
        before = nanoseconds
        yield writer.record(day_ns + nanoseconds, *ends, payload)
