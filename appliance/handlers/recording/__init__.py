"""Records calls: one bundle for each that was asked for, or that a rule is about."""

from appliance.handlers.recording.handler import RecordingHandler

__all__ = ["RecordingHandler"]
