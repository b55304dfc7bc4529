"""The log of whatever the command line starts."""

import logging

from appliance.config import ConfigError


def set_up_logging(level: str) -> None:
    """To standard error. :raises ConfigError: no such level."""
    numbers = logging.getLevelNamesMapping()
    if level.upper() not in numbers:
        raise ConfigError(f"server.log_level: {level!r}: wanted debug, info, warning or error")
    logging.basicConfig(level=numbers[level.upper()], format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # A request a line is what the transport events are for.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    logging.getLogger("asyncio").setLevel(max(numbers[level.upper()], logging.WARNING))
