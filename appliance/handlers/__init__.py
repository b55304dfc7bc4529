"""Event handlers: one module each, every one with its own mask and queue."""
