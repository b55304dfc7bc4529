"""Values as every database takes them."""

from typing import Any

_BIG, _SMALL = 2**63, 2**31


def text(value: str | None, limit: int = 0) -> str | None:
    """Cut to the column, and without the one character that PostgreSQL refuses."""
    if value is None:
        return None
    if "\0" in value:
        value = value.replace("\0", "\ufffd")
    return value[:limit] if limit else value


def big(value: int | None) -> int | None:
    """``None`` where 64 bits don't hold it."""
    return value if value is not None and -_BIG <= value < _BIG else None


def small(value: int | None) -> int | None:
    """``None`` where 32 bits don't hold it."""
    return value if value is not None and -_SMALL <= value < _SMALL else None


def number(value: Any) -> float | None:
    """``None`` for what is no finite number."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300 else None
