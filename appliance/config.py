"""Settings: a TOML file, then the environment, then ``--set``; each section one ``msgspec.Struct``.

A section's Struct lives with what it configures (``HepHandler.Config`` is ``[handlers.hep]``), so a third party's
component brings its own, and nothing is imported that is not used. An unknown key is an error that names the nearest
known one, because a misspelt setting that is silently ignored is the worst setting.
"""

import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from appliance.components import BUILTIN, Components, UnknownComponentError
from appliance.console.settings import ServerAddress

ENVIRONMENT_PREFIX = "APPLIANCE__"
SECRET_WORDS = ("secret", "password", "passwd", "pwd", "token", "api_key", "auth_key", "admin_key", "private_key")
"""A setting whose name holds one of these is masked by ``show-config``; ``..._file`` names a file and is shown."""

MAX_PORT = 65_535

S = TypeVar("S", bound=Struct)


class ConfigError(ValueError):
    """A setting is wrong: the message names the key, its value, what was wanted, and where it came from."""


class ServerConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[server]``: what both processes share."""

    name: str = ""
    """Who speaks, in every event (``emitter``), correlation id and metric; empty: the host's name."""
    data_dir: str = "./appliance-data"
    """The only folder that is written to."""
    link: str = ""
    """Where the collector listens for gateways: ``unix:/path`` or ``tcp://host:port``; empty: a socket in data_dir."""
    link_token_file: str = ""
    """A secret that gateways show the collector; asked for when ``link`` can be reached from other machines."""
    collector: int = 0
    """Which collector this is of those that share a store, 1 to 16, each another; 0: the store is its own."""
    log_level: str = "info"
    """debug, info, warning or error."""


class ConsoleConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[console]``: the collector's web server."""

    host: str = "127.0.0.1"
    port: int = 8080
    allowed_hosts: list[str] = []
    """Names that browsers may use for this server beside loopback ones (a guard against DNS rebinding)."""
    janus_http: str = ""
    """URL of the Janus API for the demo page; empty: that of the gateway on this host."""
    janus_websocket: str = ""
    """The same over WebSocket."""
    homer_url: str = ""
    """Link template for a call in Homer, ``{correlation_id}`` replaced."""
    grafana_url: str = ""
    """Link template for a handle in Grafana, ``{session_id}`` and ``{handle_id}`` replaced."""
    secret_file: str = ""
    """A file with the secret of operators, at least 12 characters. With it, or with ``proxy_addresses``, whoever comes
    has to log in; without, the console listens on loopback only."""
    reader_secret_file: str = ""
    """The same for those who may read and change nothing."""
    login_hours: float = 12.0
    """How long a login is good."""
    proxy_addresses: list[str] = []
    """Addresses or networks of reverse proxies that know who somebody is."""
    proxy_user_header: str = "X-Forwarded-User"
    """The header in which they say so. From any other address it counts for nothing."""
    operators: list[str] = []
    """Users of the proxy who are operators; the others read. ``*``: all are."""
    turn_urls: list[str] = []
    """Addresses of a TURN server that the network test of ``/demo`` tries (``turn:host:3478``). Whoever opens the page
    gets access to it for an hour."""
    turn_secret_file: str = ""
    """A file with the secret that this server shares (coturn: ``static-auth-secret``)."""
    admin: list[ServerAddress] = []
    """Servers whose Admin API is asked by *Live*, beside the gateway that runs here: tables ``[[console.admin]]`` with
    ``name`` (as the server's events name it), ``url`` (``http://host:7088/admin``), ``secret_file``, and for https
    ``ca_file`` and ``verify``."""


class ListenerConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[listener]``: the embedded HEP listener, a stand-in for a capture server. Only ``appliance run`` starts it."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = 9060


def known_sections() -> dict[str, type[Struct] | None]:
    """Every section by its dotted path; ``None`` where the Struct is only known once the component is imported."""
    sections: dict[str, type[Struct] | None] = {
        "server": ServerConfig,
        "admin": None,
        "api": None,
        "media": None,
        "recording": None,
        "console": ConsoleConfig,
        "listener": ListenerConfig,
    }
    for kind in BUILTIN:
        sections |= {f"{kind}.{name}": None for name in Components(kind).names}
    return sections


def section_struct(path: str) -> type[Struct]:
    """The Struct of a section, importing what it belongs to. :raises UnknownComponentError: no such component."""
    known = known_sections().get(path)
    if known is not None:
        return known
    if path == "admin":
        from appliance.transports.admin import AdminConfig

        return AdminConfig
    if path == "api":
        from appliance.core.gateway import GatewayConfig

        return GatewayConfig
    if path == "media":
        from appliance.media.config import MediaConfig

        return MediaConfig
    if path == "recording":
        from appliance.recording.config import RecordingConfig

        return RecordingConfig
    kind, _, name = path.partition(".")
    config: type[Struct] = Components(kind).load(name).Config
    return config


class Settings:
    """The merged tree and where each value came from."""

    def __init__(self, tree: dict[str, Any], origins: dict[str, str] | None = None) -> None:
        self.tree = tree
        self._origins = origins or {}
        self._check_sections()

    def _check_sections(self) -> None:
        sections = known_sections()
        tops = sorted({path.partition(".")[0] for path in sections})
        for top, table in self.tree.items():
            if top not in tops:
                raise ConfigError(f"{top}: no such section; {_nearest(top, tops)}{self._from(top)}")
            if not isinstance(table, dict):
                raise ConfigError(f"{top}: {table!r}: wanted a table of settings{self._from(top)}")
            if top not in BUILTIN:
                continue
            for name, inner in table.items():
                path = f"{top}.{name}"
                if path not in sections:
                    near = _nearest(name, [p.partition(".")[2] for p in sections if p.startswith(f"{top}.")])
                    raise ConfigError(f"{path}: no such section; {near}{self._from(path)}")
                if not isinstance(inner, dict):
                    raise ConfigError(f"{path}: {inner!r}: wanted a table of settings{self._from(path)}")

    def _from(self, path: str) -> str:
        origin = next((text for key, text in self._origins.items() if key == path or key.startswith(path + ".")), None)
        return f" ({origin})" if origin else ""

    def table(self, path: str) -> dict[str, Any]:
        """The raw table of a section; empty when nothing was set."""
        node: Any = self.tree
        for part in path.split("."):
            node = node.get(part, {})
        return dict(node)

    def section(self, path: str, struct: type[S]) -> S:
        """Read one section. :raises ConfigError: a key or value is wrong."""
        table = self.table(path)
        fields = {field.encode_name for field in msgspec.structs.fields(struct)}
        for key, value in table.items():
            if key not in fields:
                where = self._from(f"{path}.{key}")
                shown = _masked(key, value)
                raise ConfigError(f"{path}.{key}: no such setting (value {shown!r}); {_nearest(key, fields)}{where}")
        try:
            section = msgspec.convert(table, struct, strict=False)
        except msgspec.ValidationError as error:
            text = str(error)
            message, _, place = text.partition(" - at `$")
            key = place.rstrip("`").lstrip(".").partition("[")[0]
            full = f"{path}.{key}" if key else path
            where, value = full, ""
            if _holds_tables(table.get(key)):
                # Tables within may hold secrets, under names that are none of ours.
                where = f"{path}{place.rstrip('`')}"
            elif key in table and not is_secret(key):
                value = f": {table[key]!r}"
            raise ConfigError(f"{where}{value}: {message[:1].lower()}{message[1:]}{self._from(full)}") from None
        for key, value, wanted in out_of_bounds(section):
            name = re.sub(r"\[.*", "", key)
            raise ConfigError(f"{path}.{key}: {value!r}: wanted {wanted}{self._from(f'{path}.{name}')}")
        return section

    def check(self) -> None:
        """Read every section that is set, and every built-in default. :raises ConfigError: the first that is wrong."""
        for path in known_sections():
            self.section(path, section_struct(path))

    def show(self) -> Iterator[str]:
        """The whole configuration in force as TOML lines, secrets masked."""
        for path in sorted(known_sections()):
            values = msgspec.to_builtins(self.section(path, section_struct(path)))
            yield f"[{path}]"
            for key, value in values.items():
                yield f"{key} = {_toml(_masked(key, value))}"
            yield ""


def out_of_bounds(section: Struct, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """Each number of a section that can't be meant: its key, its value, and what was wanted.

    Held here for every component's settings, a third party's too: a port fits into 16 bits, and times, sizes, rates
    and counts are finite and not below 0. What more a setting wants, its own component checks.
    """
    for field in msgspec.structs.fields(section):
        value, key = getattr(section, field.name), f"{prefix}{field.encode_name}"
        if isinstance(value, Struct):
            yield from out_of_bounds(value, f"{key}.")
        elif isinstance(value, list | tuple):
            for index, item in enumerate(value):
                if isinstance(item, Struct):
                    yield from out_of_bounds(item, f"{key}[{index}].")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            is_port = field.name == "port" or field.name.endswith("_port")
            if is_port and not 0 <= value <= MAX_PORT:
                yield key, value, f"a port, 0 to {MAX_PORT}"
            elif not 0 <= value < float("inf"):
                yield key, value, "a number that is finite and not below 0"


def _holds_tables(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(map(_holds_tables, value)))


def is_secret(key: str) -> bool:
    """Whether a setting's value is never shown."""
    return key == "pin" or (any(word in key for word in SECRET_WORDS) and not key.endswith("_file"))


def _masked(key: str, value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_masked(key, item) for item in value]
    if isinstance(value, dict):
        return {inner: _masked(inner, item) for inner, item in value.items()}
    if isinstance(value, str):
        # A password may stand inside an address, where it does not belong but people put it.
        value = re.sub(r"(?<=://)[^/@\s]+:[^/@\s]*(?=@)", "********", value)
    return "********" if is_secret(key) and value else value


def _nearest(name: str, known: Iterable[str]) -> str:
    options = sorted(known)
    near = get_close_matches(name, options, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(options)}"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
    return '""' if value is None else str(value)


def _value(text: str) -> Any:
    """A value is read as TOML where it is TOML, and as a string where it is not."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _put(tree: dict[str, Any], origins: dict[str, str], path: list[str], value: Any, origin: str) -> None:
    node = tree
    for part in path[:-1]:
        inner = node.setdefault(part, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"{'.'.join(path)}: {part} is a value already, not a table ({origin})")
        node = inner
    node[path[-1]] = value
    origins[".".join(path)] = origin


def _flatten(table: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def load(file: Path | None = None, environ: Mapping[str, str] | None = None, overrides: Iterable[str] = ()) -> Settings:
    """Merge file, environment (``APPLIANCE__HANDLERS__HEP__SERVER``) and ``key.path=value`` overrides, in this order.

    :raises ConfigError: the file can't be read or is no TOML, an override has no ``=``, or a section is unknown.
    """
    tree: dict[str, Any] = {}
    origins: dict[str, str] = {}
    if file is not None:
        try:
            tree = tomllib.loads(file.read_text("utf-8"))
        except OSError as error:
            raise ConfigError(f"{file}: {error.strerror or error}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file}: not TOML: {error}") from None
        origins = dict.fromkeys(_flatten(tree), str(file))
    for name, text in sorted((os.environ if environ is None else environ).items()):
        if name.startswith(ENVIRONMENT_PREFIX):
            path = name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
            _put(tree, origins, path, _value(text), f"environment {name}")
    for override in overrides:
        path_text, equals, text = override.partition("=")
        if not equals or not path_text.strip():
            raise ConfigError(f"--set {override!r}: wanted section.key=value")
        _put(tree, origins, path_text.strip().split("."), _value(text), f"--set {override.partition('=')[0]}")
    return Settings(tree, origins)


__all__ = [
    "ConfigError",
    "ConsoleConfig",
    "ListenerConfig",
    "ServerConfig",
    "Settings",
    "UnknownComponentError",
    "known_sections",
    "load",
    "section_struct",
]
