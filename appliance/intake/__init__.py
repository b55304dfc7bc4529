"""The ways in for events: our gateways, Janus servers, files."""
