"""What is counted of a capture."""

from msgspec import Struct, field

from appliance.wire.pcap import Skipped


class Tally(Struct):
    """What was in a capture beside its calls, and what had to be left out."""

    packets: int = 0
    """Of IP."""
    rtp: int = 0
    rtcp: int = 0
    opened: int = 0
    """SRTCP packets that were opened with keys."""
    stun: int = 0
    dtls: int = 0
    copies: int = 0
    """Packets that were there before: of a mirror port, or of both sides of a NAT or a TURN server."""
    framed: int = 0
    """Datagrams in frames of a TCP connection."""
    relayed: int = 0
    """Packets on their way between a TURN server and its client."""
    hep: int = 0
    messages: int = 0
    """Of the Janus API."""
    unreadable: int = 0
    """Messages that were cut or no JSON."""
    tls: int = 0
    """Encrypted TCP connections: signalling in them can't be read."""
    other: int = 0
    malformed: int = 0
    left_out: int = 0
    """Conversations, connections, streams and events beyond what is kept at once."""
    was_sorted: bool = False
    """The packets were put in the order of time first."""
    skipped: Skipped = field(default_factory=Skipped)
