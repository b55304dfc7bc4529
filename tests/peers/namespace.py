"""A network namespace of our own: loopback and one address that is not, so that Janus has something to offer."""

import os
import subprocess
import sys

ADDRESS = "198.51.100.1"
"""Of TEST-NET-2 (RFC 5737): nobody's, and it exists in the namespace only."""
INSIDE = "APPLIANCE_IN_NAMESPACE"

_SETUP = (
    "ip link set lo up && ip link add v0 type veth peer name v1 && ip addr add {address}/32 dev v0 "
    '&& ip link set v0 up && ip link set v1 up && exec "$@"'
)


def inside() -> bool:
    return os.environ.get(INSIDE) == "1"


def available() -> bool:
    """Whether a namespace can be made here (root, and util-linux and iproute2 installed)."""
    probe = ["unshare", "-n", "sh", "-c", _SETUP.format(address=ADDRESS), "sh", "true"]
    try:
        return subprocess.run(probe, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def run_inside(arguments: list[str], *, timeout: float) -> "subprocess.CompletedProcess[str]":
    """Run ``python ARGUMENTS`` in a new namespace."""
    command = ["unshare", "-n", "sh", "-c", _SETUP.format(address=ADDRESS), "sh", sys.executable, *arguments]
    environment = {**os.environ, INSIDE: "1"}
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False, timeout=timeout)
