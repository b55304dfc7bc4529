"""HEPv3 alone: layout, message, templates, client, listener. Usable by itself."""
