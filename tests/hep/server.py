"""A capture server in a process of its own, to be killed: writes the number of each packet that it has handled.

``python -m tests.hep.server PORT FILE [MICROSECONDS]``: the last is the work that each packet costs.
"""

import os
import socket
import sys
import time

from appliance.hep.framing import Framer


def main() -> None:
    port, path, work = int(sys.argv[1]), sys.argv[2], float(sys.argv[3]) / 1e6
    out = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    with socket.create_server(("127.0.0.1", port)) as server:
        print("ready", flush=True)
        while True:
            connection, _ = server.accept()
            framer = Framer()
            while data := connection.recv(65536):
                for packet in framer.feed(data):
                    until = time.perf_counter() + work
                    while time.perf_counter() < until:
                        pass
                    os.write(out, packet[-8:])


if __name__ == "__main__":
    main()
