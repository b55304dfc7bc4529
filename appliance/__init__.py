"""A WebRTC gateway that speaks the Janus API and explains every call it carries."""

__version__ = "0.1.0"
