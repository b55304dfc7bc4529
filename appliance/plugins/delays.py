"""The playout delay that requests of all plugins ask for: ``min_delay`` and ``max_delay``, in units of 10 ms."""

from typing import Any

from appliance.core.messages import Element, Kind

ELEMENTS = (Element("min_delay", Kind.INTEGER), Element("max_delay", Kind.INTEGER))


class Delay:
    """What a client said of one stream. One end alone is not enough; a negative one takes both back."""

    def __init__(self, item: dict[str, Any] | None = None) -> None:
        self._said = {"min": -1, "max": -1}
        self.take(item or {})

    def take(self, item: dict[str, Any]) -> bool:
        """Remember what a request says, if it says anything of this."""
        said = {end: item[f"{end}_delay"] for end in self._said if f"{end}_delay" in item}
        self._said |= said
        if any(value < 0 for value in said.values()):
            self._said = {"min": -1, "max": -1}
        return bool(said)

    @property
    def ms(self) -> tuple[int, int] | None:
        """Least and most; ``None`` where none is wanted."""
        least, most = self._said["min"], self._said["max"]
        return (10 * least, 10 * most) if min(least, most) >= 0 else None

    def as_told(self) -> dict[str, Any]:
        """The state of a stream, as Janus shows it."""
        if self.ms is None:
            return {}
        return {"playout-delay": {"min-delay": self._said["min"], "max-delay": self._said["max"]}}
