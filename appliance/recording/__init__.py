"""Recordings of calls: what a gateway keeps, which calls are kept, and the bundle that comes of it."""
