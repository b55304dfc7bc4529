"""What both processes are put together with: components by their sections, and where the two meet."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from appliance.components import Components
from appliance.config import ConfigError, ServerConfig, Settings
from appliance.folder import data_dir
from appliance.net.link import LinkError, parse_address, socket_path


def link_address(config: ServerConfig) -> str:
    """Where gateway and collector meet."""
    try:
        return str(parse_address(config.link or f"unix:{socket_path(data_dir(config))}"))
    except LinkError as problem:
        raise ConfigError(f"server.link: {config.link!r}: {problem}") from None


def link_token(config: ServerConfig) -> str:
    """What a gateway shows a collector on another machine. :raises ConfigError: the file can't be read or is empty."""
    if not config.link_token_file:
        return ""
    try:
        token = Path(config.link_token_file).read_text("utf-8").strip()
    except OSError as problem:
        raise ConfigError(f"server.link_token_file: {config.link_token_file}: {problem.strerror or problem}") from None
    if not token:
        raise ConfigError(f"server.link_token_file: {config.link_token_file}: is empty")
    return token


def enabled(settings: Settings, kind: str) -> Iterator[tuple[str, Any, Any]]:
    """Section name, class and settings of every component of a kind that is switched on."""
    components = Components(kind)
    for section in components.names:
        component = components.load(section)
        config = settings.section(f"{kind}.{section}", component.Config)
        if getattr(config, "enabled", True):
            yield section, component, config


def make(what: str, component: Any, *arguments: Any, **options: Any) -> Any:
    """Build one component. :raises ConfigError: it finds a value of its settings wrong."""
    try:
        return component(*arguments, **options)
    except ValueError as problem:
        raise ConfigError(f"{what}: {problem}") from None
