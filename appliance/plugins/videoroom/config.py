"""What a room is made of: settings of ``[plugins.videoroom]`` and properties that ``create`` and ``edit`` set."""

from msgspec import Struct, field

RoomId = int | str
"""An integer, or a string where ``string_ids`` is set; the same of participants."""

MIN_BITRATE_BPS = 64_000
"""A lower cap than this would leave no usable picture; 0 is no cap."""
AUDIO_CODECS = ("opus", "g722", "pcmu", "pcma", "isac32", "isac16")
VIDEO_CODECS = ("vp8", "vp9", "h264", "av1", "h265")
MAX_CODECS = 5
"""Of one kind in one room."""


class DummyStream(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A codec that subscribers can be offered before anybody sends it."""

    codec: str
    fmtp: str = ""
    """Its parameters in the offer (``profile-id=2``); empty: the usual."""


class RoomConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One room. Names and defaults are Janus's."""

    room: RoomId
    description: str = ""
    """Empty: ``Room <id>``."""
    is_private: bool = False
    """Not in ``list``, unless asked with the ``admin_key``."""
    secret: str = ""
    """Needed to edit, destroy, kick and moderate; empty: anybody may."""
    pin: str = ""
    """Needed to join; empty: anybody may."""
    require_pvtid: bool = False
    """Subscribers show the ``private_id`` of a participant."""
    signed_tokens: bool = False
    """Who joins shows a token that is signed with ``api.token_auth_secret``, of the realm ``janus.plugin.videoroom``,
    that grants ``room=<id>``; a subscriber may show the ``private_id`` of a participant instead."""
    require_e2ee: bool = False
    """Who publishes says that its media are encrypted from client to client (``e2ee`` of its description)."""
    publishers: int = 3
    """How many may publish at once."""
    bitrate: int = 0
    """Cap in bit/s for each publisher, by REMB; 0: none."""
    bitrate_cap: bool = False
    """A publisher can't ask for more than ``bitrate``."""
    fir_freq: int = 0
    """Seconds between key frame requests; 0: only when somebody needs one. Kept and told, not applied."""
    audiocodec: str = "opus"
    """Comma-separated, the preferred first; who offers none of them publishes no audio."""
    videocodec: str = "vp8"
    """The same for video."""
    vp9_profile: str = ""
    """``profile-id`` of VP9 that is preferred where a publisher offers several; empty: the publisher's first."""
    h264_profile: str = ""
    """The same of H.264: its ``profile-level-id`` (``42e01f``)."""
    opus_fec: bool = True
    """Told in ``list``; what is negotiated is what both sides can do."""
    opus_dtx: bool = False
    """Told in ``list``."""
    audiolevel_ext: bool = True
    """Answer this header extension (RFC 6464) where it is offered."""
    videoorient_ext: bool = True
    """The same for the video orientation."""
    playoutdelay_ext: bool = True
    """The same for the playout delay."""
    transport_wide_cc_ext: bool = True
    """Told in ``list``."""
    notify_joining: bool = False
    """Tell everyone of participants that don't publish yet."""
    audiolevel_event: bool = False
    """Tell everyone when somebody begins and stops to talk, by their audio levels (RFC 6464)."""
    audio_active_packets: int = 100
    """Packets whose mean level decides; two seconds of 20 ms."""
    record: bool = False
    """Record what is published, as it says in ``rec_dir``."""
    rec_dir: str = ""
    """Folder of its recordings, below ``plugins/videoroom/recordings`` in the data directory; empty: that itself."""
    lock_record: bool = False
    """A publisher needs the room's ``secret`` to begin or end its recording."""
    audio_level_average: int = 25
    """In dBov below the loudest, 0 to 127: a mean below it is talking."""

    dummy_publisher: bool = False
    """Somebody is there who sends nothing, to subscribe to until there is something to ``switch`` to."""
    dummy_streams: list[DummyStream] = field(default_factory=list)
    """What it offers, each of a codec of the room; empty: all of these codecs."""
    dummy_e2ee: bool = False
    """It counts as encrypted from client to client."""

    @property
    def title(self) -> str:
        """``description``, never empty."""
        return self.description or f"Room {self.room}"

    @property
    def bitrate_bps(self) -> int:
        """The cap in force."""
        return at_least_usable(self.bitrate)


def at_least_usable(bps: int) -> int:
    """A cap as it is applied: 0, or not below :data:`MIN_BITRATE_BPS`."""
    return max(bps, MIN_BITRATE_BPS) if bps > 0 else 0


def codecs(text: str) -> list[str]:
    """The names in a comma-separated list, lower case."""
    return [name.strip().lower() for name in text.split(",") if name.strip()]


def demo_rooms() -> list[RoomConfig]:
    """The room that clients in the field look for."""
    return [RoomConfig(room=1234, description="Demo Room", publishers=6, bitrate=1_000_000, audiolevel_event=True)]


class VideoRoomConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[plugins.videoroom]``."""

    enabled: bool = True
    events: bool = True
    """Publish plugin events (type 64)."""
    string_ids: bool = False
    """Rooms and participants have strings for ids."""
    admin_key: str = ""
    """What ``create`` must carry, and what shows private rooms in ``list``; empty: anybody may create rooms."""
    max_rooms: int = 1000
    """One more is refused (499)."""
    max_participants: int = 1000
    """Of one room, publishing or not; one more is refused (433)."""
    lock_rtp_forward: bool = False
    """RTP forwarders need the ``admin_key`` as well as the room's secret."""
    rtp_forward_to: list[str] = field(default_factory=lambda: ["127.0.0.0/8", "::1/128"])
    """Networks that media may be forwarded to: a client that may forward could else reach whatever this host can."""
    max_forwarders: int = 16
    """Of one publisher, with other servers that it is published at; one more is refused (499)."""
    remote_publisher_addresses: list[str] = field(default_factory=lambda: ["127.0.0.1"])
    """Addresses of ours that take the media of remote publishers: the first, unless a request's ``iface`` names another
    of them."""
    remote_publisher_ports: list[int] = field(default_factory=lambda: [21_000, 21_999])
    """First and last port for that, two for each remote publisher; empty: any that is free."""
    remote_publisher_multicast: list[str] = field(default_factory=list)
    """Networks of the multicast groups that a request's ``mcast`` may name (``232.0.0.0/8``); empty: none."""
    max_remote_publishers: int = 100
    """In all rooms; one more is refused (499)."""
    recording_file_bytes: int = 1 << 30
    """What is recorded of a publisher is a file for each stream, which ends at so many bytes."""
    recording_total_bytes: int = 10 << 30
    """All files together; one that would go beyond ends. 0: nothing is recorded."""
    recording_files: int = 100
    """At once; one more is not made."""
    rooms: list[RoomConfig] = field(default_factory=demo_rooms)
    """Rooms that are there from the start."""
