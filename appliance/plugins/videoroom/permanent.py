"""Rooms that clients made, changed or ended for good: one file in the plugin's folder, beside the configuration."""

import os
from pathlib import Path

import msgspec
from msgspec import Struct

from appliance.plugins.videoroom.config import RoomConfig, RoomId

FILE_NAME = "rooms.json"


class Kept(Struct, kw_only=True, forbid_unknown_fields=True):
    """What the file holds."""

    rooms: list[RoomConfig] = []
    """Made or changed; they stand before those of the configuration."""
    destroyed: list[RoomId] = []
    """Rooms of the configuration that were ended."""


class PermanentRooms:
    """:raises ValueError: the file is none of ours; the message names it. :raises OSError: it can't be read."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        try:
            self._kept = msgspec.json.decode(self._path.read_bytes(), type=Kept)
        except FileNotFoundError:
            self._kept = Kept()
        except msgspec.DecodeError as problem:
            raise ValueError(f"{self._path}: {problem}; mend the file or move it away") from None

    def over(self, configured: list[RoomConfig]) -> list[RoomConfig]:
        """The rooms to begin with."""
        changed = {room.room for room in self._kept.rooms} | set(self._kept.destroyed)
        return [*(room for room in configured if room.room not in changed), *self._kept.rooms]

    def save(self, room: RoomConfig) -> None:
        """Keep a room as it is now. :raises OSError: it can't be written, and the file is as before."""
        self._write(
            Kept(
                rooms=[*(one for one in self._kept.rooms if one.room != room.room), room],
                destroyed=[one for one in self._kept.destroyed if one != room.room],
            )
        )

    def remove(self, room_id: RoomId) -> None:
        """Forget one. :raises OSError: as :meth:`save`."""
        self._write(
            Kept(
                rooms=[one for one in self._kept.rooms if one.room != room_id],
                destroyed=[*(one for one in self._kept.destroyed if one != room_id), room_id],
            )
        )

    def _write(self, kept: Kept) -> None:
        # Secrets and pins are in it; and a crash must leave the old file or the new one.
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(kept), indent=1))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        self._kept = kept
