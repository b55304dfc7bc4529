"""Keeps every event and call in a database: SQLite by default, PostgreSQL or MariaDB beside it."""

from appliance.handlers.store.database import StoreError
from appliance.handlers.store.handler import StoreConfig, StoreHandler

__all__ = ["StoreConfig", "StoreError", "StoreHandler"]
