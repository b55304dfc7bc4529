"""One HEP message on its way, and what all of them share."""

from msgspec import Struct

from appliance.core.events import EventType
from appliance.handlers.hep.addresses import Place
from appliance.handlers.hep.masking import Masker
from appliance.hep.message import Address, HepMessage
from appliance.hep.template import HepTemplate


class MapperConfig(Struct, frozen=True, kw_only=True):
    """What is the same for every message."""

    agent_id: int
    node_name: str
    auth_key: str | None = None
    jsep_as_sip: bool = True
    wanted: EventType = EventType.ALL
    unattached: bool = False
    """Also what belongs to no session, under ``server@<server name>``."""
    api_address: Address
    verdict_wait_s: float = 2.0
    max_calls: int = 5000
    ladder_states: bool = True
    """Candidates and the states of ICE and DTLS too are shown as SIP (INFO)."""
    masker: Masker | None = None

    def template(self, correlation_id: str, src: Place, dst: Place, protocol: int) -> HepTemplate:
        """The head of all messages between two places."""
        return HepTemplate(
            src=src.address,
            dst=dst.address,
            src_port=src.port,
            dst_port=dst.port,
            protocol=protocol,
            agent_id=self.agent_id,
            node_name=self.node_name,
            correlation_id=correlation_id,
            auth_key=self.auth_key,
        )


class Outgoing(Struct, frozen=True, gc=False):
    """One message, not rendered yet."""

    correlation_id: str
    template: HepTemplate
    timestamp_us: int
    payload_type: int
    payload: bytes
    expendable: bool = False
    """Statistics and reports: the next tell more."""

    def render(self) -> bytes:
        """The packet."""
        return self.template.render(self.timestamp_us, self.payload_type, self.payload)

    @property
    def message(self) -> HepMessage:
        """As a value."""
        return self.template.message(self.timestamp_us, self.payload_type, self.payload)
