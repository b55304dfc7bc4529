"""Event handlers that pass events on to other programs, as Janus's own do: HTTP, WebSocket, RabbitMQ, MQTT, files."""
