"""Run inside a namespace: one call through Debian's Janus, its events taken in several ways at once; prints each.

Beside a way for each of its event handlers there are those of ``docs/scaling.md``, by RabbitMQ for several collectors:
an exchange of Janus's bound to the one before the shares, and a relay that shares its events out by session.
"""

import asyncio
import json
import sys
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

from appliance.core.clock import LoopClock
from appliance.core.events import Event, encode_json
from appliance.demo.client import EchoCall
from appliance.intake.http import HttpIntake, HttpIntakeConfig
from appliance.intake.mqtt import MqttIntake, MqttIntakeConfig
from appliance.intake.rabbitmq import RabbitMqIntake, RabbitMqIntakeConfig
from appliance.intake.websocket import WebSocketIntake, WebSocketIntakeConfig
from appliance.net.rabbitmq import ERRORS, RabbitMqConfig, connect
from appliance.supervisor import Child
from tests.intake.pushed import until
from tests.peers.janus import janus
from tests.peers.mosquitto import mosquitto
from tests.peers.namespace import ADDRESS
from tests.peers.rabbitmq import rabbitmq

SHARES = 4


def collecting(clock: LoopClock, port: int, **settings: Any) -> RabbitMqIntake:
    return RabbitMqIntake(RabbitMqIntakeConfig(port=port, password="guest", **settings), clock)


async def bind(port: int) -> None:
    """With the broker's tools, as docs/scaling.md says."""
    async with connect(RabbitMqConfig(port=port), "guest", name="test") as broker:
        await (await broker.exchange("events", "")).bind("janus-exchange", routing_key="#")


def relay(folder: Path, port: int) -> Child:
    """A collector that does nothing else."""
    options = {
        "server.data_dir": folder, "server.log_level": "warning", "console.port": 0, "listener.enabled": "false",
        "intake.http.enabled": "false", "intake.stream.enabled": "false",
        "intake.rabbitmq.enabled": "true", "intake.rabbitmq.port": port, "intake.rabbitmq.password": "guest",
        "intake.rabbitmq.queue": "relay", "intake.rabbitmq.exchange": "janus-exchange",
        "intake.rabbitmq.durable": "true",
        "handlers.rabbitmq.enabled": "true", "handlers.rabbitmq.port": port, "handlers.rabbitmq.password": "guest",
        "handlers.rabbitmq.exchange": "relayed", "handlers.rabbitmq.route_key": "relayed",
        "handlers.rabbitmq.shares": SHARES, "handlers.rabbitmq.grouping": "false",
        **{f"handlers.{name}.enabled": "false" for name in ("hep", "prometheus", "diagnosis", "store", "recording")},
    }  # fmt: skip
    settings = [part for name, value in options.items() for part in ("--set", f"{name}={value}")]
    return Child("collector", [*settings, "collect"])


async def until_it_reads(port: int) -> None:
    """It is ready before it has its queue: a broker may come later. What is published before that is for nobody."""
    async with asyncio.timeout(20):
        while True:
            async with connect(RabbitMqConfig(port=port), "guest", name="test") as broker:
                with suppress(*ERRORS):
                    found = await broker.channel.declare_queue("relay", passive=True)
                    if found.declaration_result.consumer_count:
                        return
            await asyncio.sleep(0.05)


async def main(folder: Path) -> None:
    async with AsyncExitStack() as stack:
        amqp = stack.enter_context(rabbitmq(folder / "rabbitmq"))
        mqtt = stack.enter_context(mosquitto(folder / "mosquitto"))
        clock = LoopClock()
        http = HttpIntake(HttpIntakeConfig(port=0), clock)
        websocket = WebSocketIntake(WebSocketIntakeConfig(port=0), clock)
        from_queue = collecting(clock, amqp.port, exchange="janus-exchange")
        bound = {"queue": "events", "exchange": "events", "shares": SHARES}
        relayed = {"queue": "relayed", "exchange": "relayed", "shares": SHARES, "balance_s": 0.2}
        by_broker = {
            "rabbitmq": from_queue,
            "bound": collecting(clock, amqp.port, **bound),
            "relayed to one": collecting(clock, amqp.port, **relayed),
            "relayed to another": collecting(clock, amqp.port, **relayed),
        }
        from_topics = MqttIntake(MqttIntakeConfig(port=mqtt.port), clock)
        intakes: dict[str, Any] = {"http": http, "websocket": websocket, "mqtt": from_topics, **by_broker}
        got: dict[str, list[Event]] = {}
        for name, intake in intakes.items():
            got[name] = []
            await intake.start(got[name].append)
            stack.push_async_callback(intake.stop)
        await until(lambda: from_topics.connected and all(one.connected for one in by_broker.values()), 20)
        await bind(amqp.port)
        relaying = relay(folder / "relay", amqp.port)
        await relaying.start()
        stack.push_async_callback(relaying.stop)
        await until_it_reads(amqp.port)
        handlers = {
            "wsevh": f'backend = "{websocket.url}/any/path"',
            "rabbitmqevh": f'host = "127.0.0.1" port = {amqp.port} username = "guest" password = "guest" '
            'exchange = "janus-exchange" route_key = "janus-events"',
            "mqttevh": f'url = "tcp://127.0.0.1:{mqtt.port}" topic = "/janus/events" qos = 1',
        }
        async with (
            janus(folder / "janus", events_to=f"{http.url}/any/path", handlers=handlers) as server,
            EchoCall(server.url, address=ADDRESS) as call,
        ):
            await call.place()
            await call.wait_for_data()
            await call.wait_for_frames("video", 20)
            await call.hang_up()

        def told() -> dict[str, list[Event]]:
            both = [item for name, events in got.items() if name.startswith("relayed") for item in events]
            return {name: events for name, events in got.items() if not name.startswith("relayed")} | {"relayed": both}

        # Janus has ended: what it still had to say comes now, if it comes at all.
        await until(lambda: all(of_session(events, call.session_id, "destroyed") for events in told().values()), 20)
        malformed = [c.value for i in intakes.values() for c in i.measure() if c.labels.get("outcome") == "malformed"]
    answer = {
        "session_id": call.session_id,
        "malformed": malformed,
        "told": {name: [json.loads(encode_json(item)) for item in events] for name, events in told().items()},
        "readers": [name for name, events in got.items() if any(e.session_id == call.session_id for e in events)],
    }
    print(json.dumps(answer))


def of_session(events: list[Event], session_id: int, name: str) -> bool:
    return any(item.session_id == session_id and getattr(item.event, "name", "") == name for item in events)


asyncio.run(main(Path(sys.argv[1])))
