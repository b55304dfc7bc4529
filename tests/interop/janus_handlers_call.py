"""Run inside a namespace: one call through Debian's Janus, its events taken in four ways at once; prints each."""

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from appliance.core.clock import LoopClock
from appliance.core.events import Event, encode_json
from appliance.demo.client import EchoCall
from appliance.intake.http import HttpIntake, HttpIntakeConfig
from appliance.intake.mqtt import MqttIntake, MqttIntakeConfig
from appliance.intake.rabbitmq import RabbitMqIntake, RabbitMqIntakeConfig
from appliance.intake.websocket import WebSocketIntake, WebSocketIntakeConfig
from tests.intake.pushed import until
from tests.peers.janus import janus
from tests.peers.mosquitto import mosquitto
from tests.peers.namespace import ADDRESS
from tests.peers.rabbitmq import rabbitmq


async def main(folder: Path) -> None:
    async with AsyncExitStack() as stack:
        amqp = stack.enter_context(rabbitmq(folder / "rabbitmq"))
        mqtt = stack.enter_context(mosquitto(folder / "mosquitto"))
        clock = LoopClock()
        http = HttpIntake(HttpIntakeConfig(port=0), clock)
        websocket = WebSocketIntake(WebSocketIntakeConfig(port=0), clock)
        settings: dict[str, Any] = {"password": "guest", "exchange": "janus-exchange"}
        from_queue = RabbitMqIntake(RabbitMqIntakeConfig(port=amqp.port, **settings), clock)
        from_topics = MqttIntake(MqttIntakeConfig(port=mqtt.port), clock)
        intakes: list[Any] = [http, websocket, from_queue, from_topics]
        got: dict[str, list[Event]] = {}
        for intake in intakes:
            got[intake.name] = []
            await intake.start(got[intake.name].append)
            stack.push_async_callback(intake.stop)
        await until(lambda: from_queue.connected and from_topics.connected, 20)
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
        # Janus has ended: what it still had to say comes now, if it comes at all.
        await until(lambda: all(of_session(events, call.session_id, "destroyed") for events in got.values()), 20)
        counts = {
            intake.name: [c.value for c in intake.measure() if c.labels.get("outcome") == "malformed"]
            for intake in intakes
        }
        told = {name: [json.loads(encode_json(item)) for item in events] for name, events in got.items()}
    print(json.dumps({"session_id": call.session_id, "malformed": counts, "told": told}))


def of_session(events: list[Event], session_id: int, name: str) -> bool:
    return any(item.session_id == session_id and getattr(item.event, "name", "") == name for item in events)


asyncio.run(main(Path(sys.argv[1])))
