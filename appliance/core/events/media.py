"""Type 32: media, its statistics and its reports."""

from typing import Annotated, ClassVar

from msgspec import Meta, Struct, field

from appliance.core.events.body import Body, EventType

Count = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""What a database's integer holds; no counter is larger."""
Amount = Count | Annotated[float, Meta(ge=-(2.0**63), lt=2.0**63)]
"""The same, or a fraction."""


class MediaState(Body, frozen=True, kw_only=True):
    """RTP of a medium arrives, or has not for a second."""

    type: ClassVar[EventType] = EventType.MEDIA
    subtype: ClassVar[int] = 1
    media: str
    mid: str | None = None
    substream: int | None = None
    receiving: bool
    seconds: int | None = None


class SlowLink(Body, frozen=True, kw_only=True):
    """``slow_link``: uplink is loss of what the server sent, downlink of what it was sent. Not words for people."""

    type: ClassVar[EventType] = EventType.MEDIA
    subtype: ClassVar[int] = 2
    mid: str | None = None
    media: str | None = None
    slow_link: str
    lost_lastsec: int | None = None


class RttValues(Struct, frozen=True):
    """The three figures of RFC 3550 section 6.4.1 behind a round trip, in 1/65536 s."""

    ntp: int
    lsr: int
    dlsr: int


class MediaStats(Body, frozen=True, kw_only=True):
    """Counters of one m-line, cumulative over the PeerConnection. Absent means not measured, never zero.

    ``data`` media carry only the packet and byte counts. ``lost*`` may fall (RFC 3550 section 6.4.1); rtt and
    jitter are milliseconds.
    """

    type: ClassVar[EventType] = EventType.MEDIA
    subtype: ClassVar[int] = 3
    mid: str | None = None
    mindex: Count | None = None
    media: str
    codec: str | None = None
    base: Count | None = None
    rtt: Amount | None = None
    rtt_values: RttValues | None = field(name="rtt-values", default=None)
    lost: Count | None = None
    lost_by_remote: Count | None = field(name="lost-by-remote", default=None)
    jitter_local: Amount | None = field(name="jitter-local", default=None)
    jitter_remote: Amount | None = field(name="jitter-remote", default=None)
    in_link_quality: Amount | None = field(name="in-link-quality", default=None)
    in_media_link_quality: Amount | None = field(name="in-media-link-quality", default=None)
    out_link_quality: Amount | None = field(name="out-link-quality", default=None)
    out_media_link_quality: Amount | None = field(name="out-media-link-quality", default=None)
    packets_received: Count | None = field(name="packets-received", default=None)
    packets_sent: Count | None = field(name="packets-sent", default=None)
    bytes_received: Count | None = field(name="bytes-received", default=None)
    bytes_sent: Count | None = field(name="bytes-sent", default=None)
    bytes_received_lastsec: Count | None = field(name="bytes-received-lastsec", default=None)
    bytes_sent_lastsec: Count | None = field(name="bytes-sent-lastsec", default=None)
    nacks_received: Count | None = field(name="nacks-received", default=None)
    nacks_sent: Count | None = field(name="nacks-sent", default=None)
    retransmissions_received: Count | None = field(name="retransmissions-received", default=None)
    remb_bitrate: Count | None = field(name="remb-bitrate", default=None)
    # Beyond Janus; our gateway alone fills them.
    rtt_us: Count | None = field(name="rtt-us", default=None)
    """Microseconds; ``rtt``, ``jitter-*`` are the same floored to milliseconds, as Janus has them."""
    jitter_local_us: Count | None = field(name="jitter-local-us", default=None)
    jitter_remote_us: Count | None = field(name="jitter-remote-us", default=None)
    plis_received: Count | None = field(name="plis-received", default=None)
    plis_sent: Count | None = field(name="plis-sent", default=None)
    firs_received: Count | None = field(name="firs-received", default=None)
    firs_sent: Count | None = field(name="firs-sent", default=None)
    keyframes_received: Count | None = field(name="keyframes-received", default=None)
    """Begun, of video whose codec is known; ``keyframes-sent``: passed on to the peer."""
    keyframes_sent: Count | None = field(name="keyframes-sent", default=None)
    rembs_received: Count | None = field(name="rembs-received", default=None)
    """Bitrate estimates (and caps), counted once each, with the first medium that they are about."""
    rembs_sent: Count | None = field(name="rembs-sent", default=None)
    twccs_received: Count | None = field(name="twccs-received", default=None)
    """Transport-wide feedback messages; of the PeerConnection, told with its first audio or video medium."""
    twccs_sent: Count | None = field(name="twccs-sent", default=None)
    send_estimate: Count | None = field(name="send-estimate", default=None)
    """Bits per second that the way to the peer carries, by its feedback; told like ``twccs-*``."""
    retransmissions_sent: Count | None = field(name="retransmissions-sent", default=None)
    reordered: Count | None = None
    duplicates: Count | None = None
    has_reports: bool | None = field(name="has-reports", default=None)
    """The peer has reported on what we send: before that, ``lost-by-remote`` 0 and quality 100 say nothing."""


class ReportBlock(Struct, frozen=True):
    """RFC 3550 section 6.4.1, raw units: jitter in RTP clock ticks, lsr and dlsr in 1/65536 s."""

    source_ssrc: int
    fraction_lost: int
    packets_lost: int
    highest_seq_no: int
    ia_jitter: int
    lsr: int
    dlsr: int


class SenderInfo(Struct, frozen=True):
    """RFC 3550 section 6.4.1."""

    ntp_sec: int
    ntp_frac: int
    rtp_timestamp: int
    packets: int
    octets: int


class RtcpReport(Body, frozen=True, kw_only=True):
    """One SR (200) or RR (201) on the wire, each direction."""

    type: ClassVar[EventType] = EventType.MEDIA
    subtype: ClassVar[int] = 4
    extension: ClassVar[bool] = True
    direction: str
    """in: from the peer; out: from us."""
    packet_type: int
    ssrc: int
    mid: str | None = None
    sender_info: SenderInfo | None = None
    blocks: tuple[ReportBlock, ...] = ()


DATA_FAULT = "data_"
"""What :attr:`MediaFault.kind` begins with where data channels are meant."""


class MediaFault(Body, frozen=True, kw_only=True):
    """Errors since the last such event: ``kind`` is srtp_auth, srtp_replay, unknown_payload_type, ssrc_limit, ...

    Of data channels it begins with ``data_``: data_packet, data_harmful, data_busy, ...
    """

    type: ClassVar[EventType] = EventType.MEDIA
    subtype: ClassVar[int] = 5
    extension: ClassVar[bool] = True
    kind: str
    count: int
    ssrc: int | None = None
