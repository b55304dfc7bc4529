"""Link quality, 0 to 100, as Janus defines it since 1.2.0: from 100, each report pulling a third of the way.

``in`` is what we receive: the plain figure counts every packet that did not come by itself, the media figure leaves
out those that a retransmission brought. ``out`` is what the peer receives: the plain figure counts what it asked for
again, the media figure what its receiver reports say is lost for good. An interval without packets counts as good.
"""

_WEIGHT = 1 / 3


class Quality:
    """The four figures of one medium."""

    __slots__ = ("incoming", "incoming_media", "outgoing", "outgoing_media")

    def __init__(self) -> None:
        self.incoming = self.incoming_media = self.outgoing = self.outgoing_media = 100.0

    def received(self, *, expected: int, lost: int, retransmitted: int) -> None:
        """Our own report's interval: ``lost`` is what is missing still."""
        lost = max(0, lost)
        self.incoming = _filtered(self.incoming, lost + retransmitted, expected)
        self.incoming_media = _filtered(self.incoming_media, lost, expected)

    def reported(self, *, sent: int, lost: int, nacks: int) -> None:
        """The interval of a receiver report."""
        self.outgoing = _filtered(self.outgoing, nacks, sent)
        self.outgoing_media = _filtered(self.outgoing_media, max(0, lost), sent)


def _filtered(before: float, bad: int, total: int) -> float:
    # More NACKs than packets are possible (asked twice), and must not make it negative.
    estimate = 100.0 - 100.0 * min(bad, total) / total if total > 0 else 100.0
    return before + (estimate - before) * _WEIGHT
