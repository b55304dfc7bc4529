"""The ``appliance`` command."""

import gc
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Literal

import click

from appliance import __version__
from appliance.config import ConfigError, ServerConfig, Settings, UnknownComponentError, load
from appliance.logs import set_up_logging


def _settings(context: click.Context) -> Settings:
    options = context.obj
    try:
        settings = load(options["config"], None, options["overrides"])
        set_up_logging(settings.section("server", ServerConfig).log_level)
    except (ConfigError, UnknownComponentError) as problem:
        raise click.ClickException(str(problem)) from None
    return settings


def _passed_on(context: click.Context) -> list[str]:
    """The configuration options as a child process gets them."""
    options = context.obj
    arguments: list[str] = []
    if options["config"] is not None:
        arguments += ["--config", str(options["config"])]
    for override in options["overrides"]:
        arguments += ["--set", override]
    return arguments


def _run(main: Coroutine[Any, Any, Any], *, fast: bool = False) -> Any:
    """Run to the end; ``fast``: by uvloop."""
    import asyncio

    try:
        if fast:
            import uvloop

            return uvloop.run(main)
        return asyncio.run(main)
    except (ConfigError, UnknownComponentError) as problem:
        raise click.ClickException(str(problem)) from None
    except OSError as problem:
        # Ours carry a whole sentence there; a number before it would help nobody.
        raise click.ClickException(problem.strerror or str(problem)) from None
    except KeyboardInterrupt:
        sys.exit(130)


class _Commands(click.Group):
    """Says where the options of all commands go, to whom writes them behind a command."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.NoSuchOption as problem:
            option = problem.option_name
            if option not in ("--set", "--config"):
                raise
            place = f"{option} goes before the command: appliance {option} ... {ctx.invoked_subcommand}"
            raise click.UsageError(place, problem.ctx) from None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="A TOML file.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="handlers.hep.server=tcp://homer:9061")
@click.pass_context
def main(context: click.Context, config: Path | None, overrides: tuple[str, ...]) -> None:
    """A WebRTC gateway that speaks the Janus API, and explains every call it carries.

    Settings come from --config, then from the environment (APPLIANCE__HANDLERS__HEP__SERVER), then from --set.
    """
    context.obj = {"config": config, "overrides": overrides}


@main.command()
@click.pass_context
def run(context: click.Context) -> None:
    """Start the gateway and the collector, and look after both."""
    settings = _settings(context)
    import asyncio

    from appliance.folder import data_dir, held
    from appliance.supervisor import Ready, StartError, Supervisor, until_signalled

    async def serve() -> None:
        def restarted(role: str, ready: Ready) -> None:
            click.echo(f"The {role} is back: {', '.join(ready.addresses.values())}")

        supervisor = Supervisor(_passed_on(context), on_restart=restarted)
        signalled = asyncio.create_task(until_signalled(), name="signals")
        try:
            addresses = await supervisor.start_unless(signalled)
        except StartError as problem:
            if problem.told:
                raise click.exceptions.Exit(1) from None
            raise click.ClickException(str(problem)) from None
        if addresses is None:
            return
        web = addresses["web"]
        click.echo(f"Console    {web}/")
        click.echo(f"Demo call  {web}/demo")
        click.echo(f"Demo room  {web}/demo/videoroom")
        click.echo(f"Janus API  {addresses.get('http', addresses.get('websocket', 'no transport is enabled'))}")
        media = addresses.get("media", "")
        if media.startswith(("127.", "::1")):
            media += "; for this machine alone (not for Firefox, which calls no such address): see media.addresses"
        click.echo(f"Media      {media}")
        click.echo("Ctrl-C ends it.")
        try:
            await signalled
        finally:
            await supervisor.stop()

    async def serve_alone() -> None:
        with held(data_dir(settings.section("server", ServerConfig)), "run"):
            await serve()

    _run(serve_alone())


@main.command()
@click.pass_context
def gateway(context: click.Context) -> None:
    """Carry calls: Janus API and media. Events go to the collector."""
    settings = _settings(context)
    from appliance.gateway import run_gateway

    # The packet path makes no cycles; a full collection in the middle of a burst would only delay it.
    gc.set_threshold(50_000, 50, 50)
    # Half of what a packet costs that comes alone is the loop's.
    _run(run_gateway(settings), fast=True)


@main.command()
@click.option("--with-listener", is_flag=True, help="Also start the embedded HEP listener.")
@click.pass_context
def collect(context: click.Context, with_listener: bool) -> None:
    """Explain calls: take events in, from gateways and Janus servers, and run the event handlers."""
    settings = _settings(context)
    from appliance.collector import Collector

    async def serve() -> None:
        await Collector(settings, with_listener=with_listener).run()

    _run(serve())


@main.command()
@click.option("--homer", metavar="URL", help="Ship to this capture server too: udp://host:9060, tcp://host:9061.")
@click.option("--seconds", type=click.FloatRange(1, 600), default=5.0, show_default=True, help="How long the call is.")
@click.pass_context
def demo(context: click.Context, homer: str | None, seconds: float) -> None:
    """Place a real call without a browser, and print what Homer, Prometheus and the console get from it."""
    context.obj["overrides"] = (*context.obj["overrides"], "server.log_level=warning")
    _settings(context)
    from appliance.demo.run import DemoFailedError, run_demo

    try:
        _run(run_demo(_passed_on(context), homer=homer, seconds=seconds, say=click.echo))
    except DemoFailedError as problem:
        click.echo(f"FAILED: {problem}", err=True)
        sys.exit(1)


@main.command()
@click.option("--url", default="http://127.0.0.1:8080", show_default=True, help="The collector's web address.")
@click.option("--types", default="all", show_default=True, help="sessions,handles,jsep,webrtc,media,plugins,...")
@click.option("--session", type=int, help="Only this session.")
@click.option("--handle", type=int, help="Only this handle.")
@click.option("--correlation", help="Only this PeerConnection.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines instead of words.")
@click.option("--secret-file", default="", help="A file with the console's secret, where it asks for one.")
def watch(
    url: str,
    types: str,
    session: int | None,
    handle: int | None,
    correlation: str | None,
    as_json: bool,
    secret_file: str,
) -> None:
    """Print the events as they come."""
    from appliance.commands.bearer import bearer
    from appliance.commands.watch import WatchError, watch_events

    wanted = {"types": types, "session": session, "handle": handle, "correlation": correlation}
    try:
        _run(watch_events(url, wanted, as_json=as_json, say=click.echo, headers=bearer(secret_file)))
    except (WatchError, ValueError) as problem:
        raise click.ClickException(str(problem)) from None


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=9060, show_default=True, help="UDP and TCP.")
@click.option("--tls-port", type=click.IntRange(0, 65535), default=9062, show_default=True, help="With --tls-cert.")
@click.option(
    "--tls-cert", type=click.Path(path_type=Path, dir_okay=False), help="A certificate (PEM): also HEP over TLS."
)
@click.option("--tls-key", type=click.Path(path_type=Path, dir_okay=False), help="Its key, if it is another file.")
@click.option("--type", "types", multiple=True, help="Only this type: sip, rtcp, log, ... or a number. Repeatable.")
@click.option("--node", default="", help="Only from this capture agent; * stands for anything.")
@click.option("--correlation", default="", help="Only of this call; * stands for anything.")
@click.option("--ladder", is_flag=True, help="Each call as a ladder.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines instead of words.")
@click.option("--pcap", type=click.Path(path_type=Path, dir_okay=False), help="Write the inner packets to this file.")
@click.option(
    "--forward", default="", metavar="URL", help="Send them on, as they came: udp://, tcp://, tls://host:port."
)
@click.option("--forward-ca", type=click.Path(path_type=Path, dir_okay=False), help="Who signs its certificate.")
@click.option("--forward-cert", type=click.Path(path_type=Path, dir_okay=False), help="Ours, if it asks for one.")
@click.option("--forward-key", type=click.Path(path_type=Path, dir_okay=False), help="Its key, if it is another file.")
@click.option("--forward-server-name", default="", help="Whom its certificate must name, if not its host.")
def listen(host: str, port: int, tls_port: int, tls_cert: Path | None, tls_key: Path | None, **choices: Any) -> None:
    """Receive HEP over UDP, TCP and TLS, and show it: a line a packet, or a ladder for each call."""
    from appliance.commands.listen import Listening, listen_and_show

    def note(text: str) -> None:
        click.echo(text, err=True)

    try:
        listening = Listening(host, port, tls_port=tls_port, tls_cert=tls_cert, tls_key=tls_key, **choices)
        _run(listen_and_show(listening, say=lambda text: click.echo(text, nl=False), note=note))
    except ValueError as problem:
        raise click.ClickException(str(problem)) from None


@main.command()
@click.argument("action", type=click.Choice(["list", "start", "stop", "fetch"]))
@click.argument("what", required=False, default="")
@click.option("--url", default="http://127.0.0.1:8080", show_default=True, help="The collector's web address.")
@click.option("--secret-file", default="", help="A file with the console's secret, where it asks for one.")
def record(action: str, what: str, url: str, secret_file: str) -> None:
    """Record calls: list what is recorded, start or stop a rule, fetch a bundle by its name.

    A rule is "next failed", "loss > 5%", "verdict CODE", "call ID", "session ID", "handle ID" or "room ID".
    What went wrong is known when it is over: the bundle has the packets that set the call up, and those of its media
    where recording.buffer_seconds keeps them.
    """
    from appliance.commands.bearer import bearer
    from appliance.commands.record import RecordError, record_calls

    try:
        _run(record_calls(action, what, url, click.echo, headers=bearer(secret_file)))
    except (RecordError, ValueError) as problem:
        raise click.ClickException(str(problem)) from None


@main.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="A JSON line a call instead of words.")
@click.option("--homer", metavar="URL", help="Ship the calls to this capture server: udp://host:9060, tcp://host:9061.")
@click.option("--store", metavar="URL|FILE", help="Keep the calls in this database, or SQLite file.")
@click.option("--metrics", is_flag=True, help="Print what Prometheus would scrape after the last call.")
@click.option("--speed", type=click.Choice(["full", "real"]), default="full", show_default=True, help="Of shipping.")
@click.option("--keys", type=click.Path(path_type=Path, dir_okay=False), help="An SSLKEYLOGFILE: opens SRTCP and TLS.")
@click.option("--together", is_flag=True, help="The FILEs are parts of one: a ring's files, or of several interfaces.")
@click.option("--now", is_flag=True, help="Ship with timestamps of now instead of the original ones.")
def replay(
    files: tuple[Path, ...],
    as_json: bool,
    homer: str | None,
    store: str | None,
    metrics: bool,
    speed: Literal["full", "real"],
    now: bool,
    keys: Path | None,
    together: bool,
) -> None:
    """Explain recorded calls: bundles, pcap, pcapng, text2pcap, HEP captures, events as JSON; gzip too."""
    from appliance.commands.replay import Options, ReplayError, explain_files

    def note(text: str) -> None:
        click.echo(text, err=True)

    options = Options(
        as_json=as_json, homer=homer, store=store, metrics=metrics, speed=speed, now=now, keys=keys, together=together
    )
    try:
        unreadable, events = explain_files(files, options, click.echo, note)
        if events:
            from appliance.commands.ship import ship

            _run(ship(events, options, click.echo, note))
    except ReplayError as problem:
        raise click.ClickException(str(problem)) from None
    if unreadable:
        sys.exit(1)


@main.command()
@click.option("--janus", multiple=True, metavar="URL", help="Ask this Janus too: http://host:8088/janus. Repeatable.")
@click.pass_context
def check(context: click.Context, janus: tuple[str, ...]) -> None:
    """Try the configuration and every peer that it names, and say in words what is wrong."""
    settings = _settings(context)
    from appliance.commands.check import check_everything

    problems = _run(check_everything(settings, say=click.echo, janus=janus))
    if problems:
        click.echo(f"{problems} problem{'s' if problems > 1 else ''} found.")
        sys.exit(1)
    click.echo("All is well.")


@main.command("show-config")
@click.pass_context
def show_config(context: click.Context) -> None:
    """Print the configuration in force, secrets masked."""
    settings = _settings(context)
    try:
        for line in settings.show():
            click.echo(line)
    except (ConfigError, UnknownComponentError) as problem:
        raise click.ClickException(str(problem)) from None
