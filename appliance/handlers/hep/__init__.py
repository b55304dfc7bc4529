"""Ships every call to a capture server (Homer) over HEPv3."""

from appliance.handlers.hep.handler import HepConfig, HepHandler

__all__ = ["HepConfig", "HepHandler"]
