"""Connections that transports, intake and handlers share."""
