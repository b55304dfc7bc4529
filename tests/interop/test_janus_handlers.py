"""A real Janus's four event handlers tell our intakes the same."""

import json
from pathlib import Path

import pytest

from tests.peers import namespace
from tests.programs import need

pytestmark = pytest.mark.interop


def test_whichever_way_a_janus_servers_events_come_they_are_the_same(tmp_path: Path) -> None:
    need("janus", "unshare", "ip")
    need("rabbitmq-server", "mosquitto")
    if not namespace.available():
        pytest.skip("no network namespace can be made here (it takes root)")
    done = namespace.run_inside(["-m", "tests.interop.janus_handlers_call", str(tmp_path)], timeout=90)
    assert done.returncode == 0, done.stdout
    answer = json.loads(done.stdout.splitlines()[-1])
    told = answer["told"]
    assert set(told) == {"http", "websocket", "rabbitmq", "mqtt", "bound", "relayed"}
    assert set(answer["malformed"]) == {0}
    # Of the two collectors behind the relay one has the session.
    assert sum(name.startswith("relayed") for name in answer["readers"]) == 1
    # What belongs to the call: the server's start and end need not come by every way.
    calls = {
        name: sorted((item for item in items if item.get("session_id") == answer["session_id"]), key=json.dumps)
        for name, items in told.items()
    }
    kinds = {(item["type"], item.get("subtype", 0)) for item in calls["http"]}
    assert kinds >= {(1, 0), (2, 0), (8, 0), (16, 1), (16, 2), (16, 4), (16, 5), (16, 6), (32, 1), (32, 3), (64, 0)}
    for name, items in calls.items():
        assert items == calls["http"], name
    # By way of RabbitMQ in the order, too, in which Janus published them.
    for name in ("bound", "relayed"):
        one, other = ([i for i in told[n] if i.get("session_id") == answer["session_id"]] for n in ("rabbitmq", name))
        assert one == other, name
