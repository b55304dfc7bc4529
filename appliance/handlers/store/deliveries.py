"""Stores what a broker brings once, though it brings it again after a collector or a connection was lost.

With the events of a message, in one transaction, goes how many of them are stored. Whoever is given the message again
finds that, on the same machine or on another that shares the database. The row is locked while events are written, so
two collectors that were given the same message at the same time take turns.
"""

from collections.abc import Mapping

from sqlalchemy import Connection, delete, func, insert, select, update

from appliance.core.deliveries import Origin
from appliance.handlers.store import schema

KEPT_US = 3_600_000_000
"""A message comes again when a connection is lost, so within this time of the newest one, or not at all."""
LOOKUP = 500
"""Keys in one ``IN``."""

_rows = schema.deliveries.c


def note(connection: Connection, origins: Mapping[int, Origin]) -> set[int]:
    """Note events as stored, by their numbers, and return those that were before.

    :raises SQLAlchemyError: also where another noted the same message at the same time; then it is seen next time.
    """
    known = _known(connection, sorted({origin.message for origin in origins.values()}))
    stored = {number for number, origin in origins.items() if origin.place < known.get(origin.message, 0)}
    after: dict[str, tuple[int, int]] = {}
    for number, (message, place) in origins.items():
        places, last = after.get(message, (0, 0))
        after[message] = max(places, place + 1), max(last, number)
    fresh = [
        {"message": message, "places": places, "id": last}
        for message, (places, last) in after.items()
        if message not in known
    ]
    if fresh:
        connection.execute(insert(schema.deliveries), fresh)
    for message, (places, last) in after.items():
        if message in known and places > known[message]:
            statement = update(schema.deliveries).where(_rows.message == message).values(places=places, id=last)
            connection.execute(statement)
    return stored


def _known(connection: Connection, messages: list[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for start in range(0, len(messages), LOOKUP):
        some = messages[start : start + LOOKUP]
        query = select(_rows.message, _rows.places).where(_rows.message.in_(some)).order_by(_rows.message)
        for message, places in connection.execute(query.with_for_update()):
            found[message] = places
    return found


def prune(connection: Connection) -> None:
    """Forget messages that come no more."""
    newest = connection.execute(select(func.max(_rows.id))).scalar()
    if newest is not None:
        connection.execute(delete(schema.deliveries).where(_rows.id < newest - KEPT_US))
