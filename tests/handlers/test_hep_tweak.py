"""What can change about the HEP handler while it runs."""

from pathlib import Path

import pytest

from appliance.core.bus import EventBus
from appliance.core.events import EventType, IceState, MediaStats
from appliance.core.handler import HandlerContext, Tweakable
from appliance.handlers.hep import HepConfig, HepHandler
from appliance.handlers.hep.handler import NEEDED
from appliance.hep.listener import HepListener
from tests.clock import FakeClock
from tests.handlers.hep_calls import of_handle
from tests.transports.turns import until


def handler(url: str, folder: Path) -> HepHandler:
    clock = FakeClock()
    context = HandlerContext(
        clock=clock,
        data_dir=folder,
        server_name="t",
        publish=lambda body, about: None,
        bus=EventBus(clock),
        measured=[],
    )
    return HepHandler(HepConfig(server=url), context)


async def test_events_are_sent_or_not_from_now_on(tmp_path: Path) -> None:
    heard: list[bytes] = []
    listener = HepListener(lambda message: heard.append(message.payload), port=0)
    await listener.start()
    made = handler(f"udp://127.0.0.1:{listener.port}", tmp_path)
    await made.start()
    try:
        assert isinstance(made, Tweakable)
        await made.handle([of_handle(IceState(ice="connected"))])
        made.tweak({"events": "media"})
        assert made.mask == EventType.MEDIA | NEEDED
        await made.handle([of_handle(IceState(ice="ready")), of_handle(MediaStats(media="audio", mid="0"))])
        await until(lambda: len(heard) == 2)
        assert b"connected" in heard[0]
        assert b'"media"' in heard[1]
    finally:
        await made.stop()
        await listener.stop()


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"server": "udp://a:1"}, "server: can't be changed while the handler runs"),
        ({"events": 5}, "events: '5' came"),
        ({"events": "nope", "unattached": True}, "unknown event type 'nope'"),
        ({"verdict_wait_s": -1}, "verdict_wait_s: '-1' came"),
    ],
)
def test_what_is_refused_changes_nothing(changes: dict[str, object], wanted: str, tmp_path: Path) -> None:
    made = handler("udp://127.0.0.1:9", tmp_path)
    with pytest.raises(ValueError, match=wanted):
        made.tweak(changes)
    assert made.mask == EventType.ALL
