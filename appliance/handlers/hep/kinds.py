"""The rule for every kind of event: what it becomes, and between whom. The mapper follows it,
:mod:`appliance.handlers.hep.document` prints it.
"""

from enum import Enum
from typing import NamedTuple

from appliance.core.events import (
    ApiError,
    Body,
    Connection,
    Core,
    Counters,
    DtlsDetail,
    DtlsState,
    EndOfCandidates,
    External,
    Gap,
    Handle,
    IceState,
    Jsep,
    LocalCandidate,
    MediaFault,
    MediaState,
    MediaStats,
    PairCounters,
    Plugin,
    RemoteCandidate,
    RtcpReport,
    SelectedPair,
    Session,
    Shutdown,
    SlowLink,
    Transport,
)


class Ends(Enum):
    """Whose addresses a message has."""

    API = "API client, gateway"
    MEDIA = "selected pair"
    """Of the API while no pair is selected."""


class Sender(Enum):
    """Which way it goes."""

    GATEWAY = "from the gateway"
    CLIENT = "from the client"
    OWNER = "from who said it"
    DIRECTION = "as on the wire"


class Rule(NamedTuple):
    """What one kind of event becomes."""

    payload: str
    ends: Ends = Ends.API
    sender: Sender = Sender.GATEWAY
    also: str = ""
    """What else, beside the first."""
    type: int = 100
    """HEP type of the first."""
    expendable: bool = False
    """The next one tells more: the first to go when a queue is full."""
    of_call: bool = True
    """Told of a handle, else of a session or the server alone."""


EVENT = "the event's JSON"
LADDER = "type 1: INFO with `Subject`"

RULES: dict[type[Body], Rule] = {
    Session: Rule(EVENT, of_call=False),
    Handle: Rule(EVENT, also="type 1: BYE, when detached and no hangup came"),
    External: Rule("the event's JSON; a verdict's sentence as `text`", also="a verdict: type 1: the BYE held for it"),
    Jsep: Rule("SIP: INVITE, 200 OK, 183; else the event's JSON", sender=Sender.OWNER, type=1),
    IceState: Rule(EVENT, Ends.MEDIA, also=f"{LADDER}, if connected, disconnected or failed"),
    LocalCandidate: Rule(EVENT, Ends.MEDIA, also="type 1: INFO with the candidate, unless the description had it"),
    RemoteCandidate: Rule(
        EVENT, sender=Sender.CLIENT, also="type 1: INFO with the candidate, unless the description had it"
    ),
    SelectedPair: Rule(EVENT, Ends.MEDIA),
    DtlsState: Rule(EVENT, Ends.MEDIA, also=f"{LADDER}, if connected or failed"),
    Connection: Rule(EVENT, Ends.MEDIA, also="type 1: BYE, at hangup"),
    PairCounters: Rule(EVENT, Ends.MEDIA),
    DtlsDetail: Rule(EVENT, Ends.MEDIA),
    EndOfCandidates: Rule(EVENT, sender=Sender.CLIENT, also="type 1: INFO with `a=end-of-candidates`"),
    MediaState: Rule(EVENT, Ends.MEDIA),
    SlowLink: Rule(EVENT, Ends.MEDIA),
    MediaStats: Rule(
        EVENT, Ends.MEDIA, also="type 5, marked synthetic, for servers that tell no RTCP", expendable=True
    ),
    RtcpReport: Rule("Homer's RTCP JSON, one block each", Ends.MEDIA, Sender.DIRECTION, type=5, expendable=True),
    MediaFault: Rule(EVENT, Ends.MEDIA, expendable=True),
    Plugin: Rule(EVENT, also="type 1: a SIP plugin's message as it is, under its own Call-ID"),
    Transport: Rule(EVENT, of_call=False),
    Core: Rule(EVENT, of_call=False),
    Shutdown: Rule(EVENT, of_call=False),
    Gap: Rule(EVENT, of_call=False),
    Counters: Rule(EVENT, of_call=False),
    ApiError: Rule(EVENT, of_call=False),
}
OTHER = Rule(EVENT)
"""For kinds that this version does not know."""


def rule(kind: type[Body]) -> Rule:
    """The rule of a kind."""
    return RULES.get(kind, OTHER)
