"""HEP packets of other producers, with what other tools read in them."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from scapy.all import UDP, rdpcap

CAPTURES = Path(__file__).parent.parent.parent / "captures" / "hep"


class Captured(NamedTuple):
    """One datagram and its oracle."""

    name: str
    data: bytes
    fields: dict[str, Any]


def captured() -> list[Captured]:
    """Every packet; an absent fixture is an error."""
    found = []
    for stem in ("samples", "hep_js", "call"):
        description = json.loads((CAPTURES / f"{stem}.json").read_text())
        packets = rdpcap(str(CAPTURES / f"{stem}.pcap"))
        assert len(packets) == len(description["packets"]) > 0
        for packet, fields in zip(packets, description["packets"], strict=True):
            data = bytes(packet[UDP].payload)
            assert len(data) == fields["size"]
            found.append(Captured(f"{stem}.{fields['name']}", data, fields))
    return found


def sample(name: str) -> bytes:
    """One datagram by its name."""
    return next(packet.data for packet in captured() if packet.name.endswith(f".{name}"))
