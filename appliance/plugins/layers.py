"""Which encoding of simulcast a client gets, in the words that requests and answers of all plugins share."""

from typing import Any

from appliance.core.messages import Element, Kind
from appliance.core.peer import LayerListener, Layers, PeerConnection

NAMES = ("substream", "temporal", "spatial_layer", "temporal_layer")
"""Each 0, 1 or 2; the last two are of SVC, read and not applied."""
HIGHEST = 2
"""Of substreams and temporal layers, which a client gets that asks for none."""
ELEMENTS = tuple(Element(name, Kind.POSITIVE) for name in (*NAMES, "fallback"))
_WISHES = ("substream", "temporal", "fallback")


def wrong_layer(item: dict[str, Any]) -> str | None:
    """The name of a layer that there can't be; to be asked of a request whose types are known to be right."""
    return next((name for name in NAMES if item.get(name, 0) > HIGHEST), None)


class Wishes:
    """What a client said of one stream: ``substream``, ``temporal``, ``fallback`` (microseconds of silence)."""

    def __init__(self, item: dict[str, Any] | None = None) -> None:
        self._said: dict[str, int] = {}
        self.take(item or {})

    def take(self, item: dict[str, Any]) -> bool:
        """Remember what a request says, if it says anything of this."""
        said = {name: item[name] for name in _WISHES if name in item}
        self._said |= said
        return bool(said)

    def apply(self, peer: PeerConnection, mid: str, told: LayerListener) -> None:
        """Ask the engine for it; ``told`` hears of changes."""
        peer.set_layers(
            mid,
            substream=self._said.get("substream", HIGHEST),
            temporal=self._said.get("temporal", HIGHEST),
            fallback_us=self._said.get("fallback"),
            told=told,
        )

    def confirm(self, item: dict[str, Any], layers: Layers | None, told: LayerListener) -> None:
        """Tell at once what a request asks for and is there already, because it won't change."""
        if layers is not None:
            for name, flows in (("substream", layers.substream), ("temporal", layers.temporal)):
                if item.get(name) == flows:
                    told(name, flows)

    def as_told(self, layers: Layers | None) -> dict[str, int]:
        """The state of a simulcast stream, as Janus shows it; ``layers`` is ``None`` before anything flows."""
        return {
            "substream": -1 if layers is None else layers.substream,
            "substream-target": self._said.get("substream", HIGHEST),
            "temporal-layer": -1 if layers is None else layers.temporal,
            "temporal-layer-target": self._said.get("temporal", HIGHEST),
            **{name: self._said[name] for name in ("fallback",) if name in self._said},
        }
