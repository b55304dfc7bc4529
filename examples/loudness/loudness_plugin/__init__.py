"""Tells a caller how loud it is, by the audio levels in its RTP header extensions (RFC 6464)."""

import json
from typing import Any

from msgspec import Struct

from appliance.core.events import SessionDescription
from appliance.core.peer import AnswerPolicy
from appliance.core.plugin import Ack, HandleApi, Plugin, PluginError, PluginHandle, Success
from appliance.wire import sdp
from appliance.wire.rtp import RtpDecodeError, parse_extensions, parse_header

LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
LABEL = "loudness"
UNKNOWN_REQUEST, NO_OFFER, NO_LEVELS = 413, 414, 415


class LoudnessConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[plugins.loudness]``."""

    enabled: bool = True
    packets: int = 50
    """Of which one mean is told; a second of 20 ms packets."""

    def __post_init__(self) -> None:
        if self.packets < 1:
            raise ValueError(f"packets: {self.packets} came, wanted 1 or more")


class Meter:
    """The mean level of so many packets, in dBov: 0 is the loudest, -127 is silence."""

    def __init__(self, extension_id: int, packets: int) -> None:
        self._extension_id = extension_id
        self._packets = packets
        self._levels: list[int] = []

    def take(self, packet: memoryview) -> float | None:
        """The mean, when there are enough packets; else ``None``. A packet without a level is left out."""
        try:
            header = parse_header(packet)
            value = parse_extensions(header.extension_profile, header.extension).get(self._extension_id)
        except RtpDecodeError:
            return None
        if not value:
            return None
        self._levels.append(-(value[0] & 0x7F))
        if len(self._levels) < self._packets:
            return None
        mean = sum(self._levels) / len(self._levels)
        self._levels.clear()
        return mean


class LoudnessHandle(PluginHandle):
    """One caller."""

    def __init__(self, api: HandleApi, config: LoudnessConfig) -> None:
        super().__init__(api)
        self._config = config
        self._extension_id: int | None = None
        self._mid = ""
        self.loudness: float | None = None
        """The last mean; ``None`` before the first."""

    def message(self, body: dict[str, Any], jsep: SessionDescription | None, transaction: str) -> Success | Ack:
        """``measure``, with an offer: answered by an event that carries the answer."""
        if body.get("request") != "measure":
            raise PluginError(UNKNOWN_REQUEST, "Invalid request (wanted measure)")
        if jsep is None:
            raise PluginError(NO_OFFER, "An offer is needed to measure its audio")
        self.api.later(lambda: self._answer(transaction))
        return Ack()

    def _answer(self, transaction: str) -> None:
        try:
            answer = self.api.answer(AnswerPolicy(video=False, receive_only=True))
        except PluginError as refusal:
            refused = {"loudness": "event", "error_code": refusal.code, "error": refusal.reason}
            self.api.push_event(refused, transaction=transaction)
            return
        for media in sdp.parse(answer.sdp).media:
            for extension in media.extensions:
                if media.mid is not None and media.kind == "audio" and extension.uri == LEVEL:
                    self._mid, self._extension_id = media.mid, extension.id
        data: dict[str, Any] = {"loudness": "event", "result": "ok"}
        if self._extension_id is None:
            data = {"loudness": "event", "error_code": NO_LEVELS, "error": "The offer has no audio levels (RFC 6464)"}
        self.api.push_event(data, transaction=transaction, jsep=answer)

    def setup_media(self) -> None:
        """The PeerConnection is up: listen."""
        if self.api.peer is None or self._extension_id is None:
            return
        meter = Meter(self._extension_id, self._config.packets)

        def heard(packet: memoryview) -> None:
            mean = meter.take(packet)
            if mean is not None:
                self._tell(mean)

        self.api.peer.listen(self._mid, heard)

    def _tell(self, mean: float) -> None:
        self.loudness = round(mean, 1)
        data = {"loudness": "event", "dBov": self.loudness}
        self.api.push_event(data)
        self.api.notify({"event": "loudness", "dBov": self.loudness})
        if self.api.peer is not None:
            self.api.peer.send_data(LABEL, "", json.dumps(data))

    def hangup_media(self, reason: str) -> None:
        """Nothing is heard any more."""
        self.loudness = self._extension_id = None

    def query(self) -> dict[str, Any]:
        """For the Admin API."""
        return {"dBov": self.loudness}


class Loudness(Plugin):
    """Made with its configuration."""

    Config = LoudnessConfig
    package = "example.plugin.loudness"
    name = "Loudness plugin"
    description = "Tells callers how loud they are."
    version = 1
    version_string = "1.0"

    def __init__(self, config: LoudnessConfig) -> None:
        self._config = config

    def attach(self, api: HandleApi) -> LoudnessHandle:
        """A caller."""
        return LoudnessHandle(api, self._config)

    def handle_admin_message(self, request: dict[str, Any]) -> dict[str, Any]:
        """``message_plugin``: what is configured."""
        return {"loudness": "success", "packets": self._config.packets}
