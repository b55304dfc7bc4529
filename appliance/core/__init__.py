"""What a gateway is, without sockets: events, bus, sessions, handles, messages, and the contracts of the house."""
