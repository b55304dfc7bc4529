"""The ways in for the Janus API."""
