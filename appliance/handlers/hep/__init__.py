"""Ships every call to a capture server (Homer) over HEPv3."""

from appliance.handlers.hep.config import HepConfig
from appliance.handlers.hep.handler import HepHandler

__all__ = ["HepConfig", "HepHandler"]
