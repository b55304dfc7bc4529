"""What the messages of one PeerConnection need of its earlier events."""

from appliance.core.events import Event, External, SelectedPair
from appliance.handlers.hep.addresses import Path, pair_path
from appliance.handlers.hep.ladder import Ladder
from appliance.handlers.hep.outgoing import MapperConfig
from appliance.handlers.hep.rtcp_json import MadeReports
from appliance.handlers.hep.sip import Dialog, End
from appliance.hep.template import HepTemplate


class Call:
    """One correlation id."""

    __slots__ = (
        "api", "bye", "correlation_id", "dialog", "ending", "ladder", "made_reports", "media", "tells_rtcp",
        "templates", "verdict",
    )  # fmt: skip

    def __init__(self, correlation_id: str, api: Path) -> None:
        self.correlation_id = correlation_id
        self.api = api
        self.media: Path | None = None
        self.templates: dict[tuple[bool, bool], HepTemplate] = {}
        """By (media, inward)."""
        self.dialog: Dialog | None = None
        self.ladder = Ladder()
        self.made_reports: dict[str, MadeReports] = {}
        """By medium; none where the server tells RTCP."""
        self.tells_rtcp = False
        self.bye: tuple[Event, End] | None = None
        """Held for the verdict."""
        self.verdict: External | None = None
        self.ending = False
        """Forgotten when the wait is over."""

    def select(self, body: SelectedPair) -> None:
        """From now on media go this way."""
        found = pair_path(body)
        if found is not None and found != self.media:
            self.media = found
            self.templates.pop((True, True), None)
            self.templates.pop((True, False), None)

    def template(self, config: MapperConfig, *, media: bool, inward: bool) -> HepTemplate:
        """``inward``: from the client to us. Before a pair is selected there are only the API's addresses."""
        if self.media is None:
            media = False
        template = self.templates.get((media, inward))
        if template is None:
            ends = self.media if media and self.media is not None else self.api
            src, dst = (ends.client, ends.server) if inward else (ends.server, ends.client)
            template = self.templates[media, inward] = config.template(self.correlation_id, src, dst, ends.protocol)
        return template

    def take_bye(self) -> tuple[Event, End] | None:
        """The end that is held, with the verdict where there is one; the call holds it no longer."""
        if self.bye is None:
            return None
        (item, end), self.bye = self.bye, None
        if self.verdict is not None:
            data = self.verdict.data
            end = end._replace(
                verdict_code=str(data.get("code", "")),
                verdict_text=str(data.get("sentence", "")),
                good=data.get("severity", "fault") != "fault",
            )
        return item, end
