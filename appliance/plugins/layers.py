"""Which encoding of simulcast or layers of SVC a client gets, in the words that all plugins' requests share."""

from typing import Any

from appliance.core.messages import Element, Kind
from appliance.core.peer import LayerListener, Layers, PeerConnection

NAMES = ("substream", "temporal", "spatial_layer", "temporal_layer")
"""Each 0, 1 or 2; the first two are of simulcast, the last two of SVC."""
HIGHEST = 2
"""Of substreams and layers, which a client gets that asks for none."""
ELEMENTS = tuple(Element(name, Kind.POSITIVE) for name in (*NAMES, "fallback"))
_WISHES = (*NAMES, "fallback")
_SVC_NAMES = {"spatial": "spatial_layer", "temporal": "temporal_layer"}
"""What clients are told of layers, by what the engine calls them."""


def wrong_layer(item: dict[str, Any]) -> str | None:
    """The name of a layer that there can't be; to be asked of a request whose types are known to be right."""
    return next((name for name in NAMES if item.get(name, 0) > HIGHEST), None)


class Wishes:
    """What a client said of one stream: the layers of :data:`NAMES`, ``fallback`` (microseconds of silence).

    ``svc`` says of a stream that it is sent in layers and not in encodings.
    """

    def __init__(self, item: dict[str, Any] | None = None) -> None:
        self._said: dict[str, int] = {}
        self.take(item or {})

    def take(self, item: dict[str, Any]) -> bool:
        """Remember what a request says, if it says anything of this."""
        said = {name: item[name] for name in _WISHES if name in item}
        self._said |= said
        return bool(said)

    @property
    def of_layers(self) -> bool:
        """It said something of SVC."""
        return not self._said.keys().isdisjoint(_SVC_NAMES.values())

    def apply(self, peer: PeerConnection, mid: str, told: LayerListener, *, svc: bool = False) -> None:
        """Ask the engine for it; ``told`` hears of changes."""
        peer.set_layers(
            mid,
            substream=self._wanted("substream"),
            temporal=self._wanted("temporal_layer" if svc else "temporal"),
            spatial=self._wanted("spatial_layer") if svc else None,
            fallback_us=self._said.get("fallback"),
            told=(lambda what, layer: told(_SVC_NAMES.get(what, what), layer)) if svc else told,
        )

    def _wanted(self, name: str) -> int:
        return self._said.get(name, HIGHEST)

    def confirm(self, item: dict[str, Any], layers: Layers | None, told: LayerListener, *, svc: bool = False) -> None:
        """Tell at once what a request asks for and is there already, because it won't change."""
        if layers is None:
            return
        if svc:
            known = (("spatial_layer", layers.spatial), ("temporal_layer", layers.temporal))
        else:
            known = (("substream", layers.substream), ("temporal", layers.temporal))
        for name, flows in known:
            if item.get(name) == flows:
                told(name, flows)

    def as_told(self, layers: Layers | None) -> dict[str, int]:
        """The state of a simulcast stream, as Janus shows it; ``layers`` is ``None`` before anything flows."""
        return {
            "substream": -1 if layers is None else layers.substream,
            "substream-target": self._wanted("substream"),
            "temporal-layer": -1 if layers is None else layers.temporal,
            "temporal-layer-target": self._wanted("temporal"),
            **{name: self._said[name] for name in ("fallback",) if name in self._said},
        }

    def as_svc_told(self, layers: Layers | None, target: str = "{}-target") -> dict[str, int]:
        """The same of a stream in layers; ``target`` makes the name of what is wanted of that of a layer."""
        return {
            "spatial-layer": -1 if layers is None else layers.spatial,
            target.format("spatial-layer"): self._wanted("spatial_layer"),
            "temporal-layer": -1 if layers is None else layers.temporal,
            target.format("temporal-layer"): self._wanted("temporal_layer"),
        }
