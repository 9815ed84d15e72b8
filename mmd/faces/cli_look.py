"""Commands that only look: logs, doctor, notify, web."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

import click
from rich.console import Console

from mmd.config.load import load
from mmd.config.paths import Paths
from mmd.config.secrets import load_alert_targets, load_web_token
from mmd.faces import doctor as doctoring
from mmd.faces import logs_view, notify, probes
from mmd.processes.notifier.channels import channels
from mmd.processes.web.server import ADDRESS_FILE
from mmd.words.errors import ConfigError, Exit, Unavailable

EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)
_CONFIG = click.option(
    "--config", type=EXISTING, envvar="MMD_CONFIG", help="Default: conf/pairs.yaml."
)


@click.command()
@click.argument("name", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on showing, until Ctrl-C.")
@click.option("-n", "--lines", type=click.IntRange(min=0), default=40, help="Default: 40.")
@_CONFIG
def logs(name: str | None, follow: bool, lines: int, config: Path | None) -> None:
    """The newest lines of all logs, or of one process: btc_twd, feeds:btcusdt."""
    paths = Paths.default(os.environ)
    zone = ZoneInfo(load(config or paths.pairs_yaml).time_zone)
    console = Console()
    logs_view.show(paths.log, zone, console, name=name, count=lines, follow=follow)


@click.command()
@_CONFIG
def doctor(config: Path | None) -> None:
    """What may be wrong around mmd, each with its remedy: clock, network, disk, keys, leftovers."""
    paths = Paths.default(os.environ)
    chosen = config or paths.pairs_yaml
    sys.exit(doctoring.doctor(chosen, paths, os.environ, Console(), probes.make()))


@click.group(name="notify")
def notify_group() -> None:
    """Alerts to people."""


@notify_group.command(name="test")
def notify_test() -> None:
    """Send a test message to every address, and say which took it."""
    results = notify.test(channels(load_alert_targets(Paths.default(os.environ), os.environ)))
    if not results:
        raise ConfigError(notify.NOBODY)
    for name, fault in results:
        click.echo(f"{name}: {fault or 'took the message'}")
    if any(fault for _, fault in results):
        sys.exit(Exit.UNREACHABLE)


@click.command()
@_CONFIG
def web(config: Path | None) -> None:
    """Where the page is."""
    paths = Paths.default(os.environ)
    settings = load(config or paths.pairs_yaml)
    if not settings.web.enabled:
        raise ConfigError("the page is off: set web.enabled: true in conf/pairs.yaml, then reload")
    token = load_web_token(settings, paths, os.environ)
    try:
        click.echo((paths.run / ADDRESS_FILE).read_text().strip())
    except FileNotFoundError:
        raise Unavailable("the page is not served: mmd does not run; use mmd start") from None
    if token:
        click.echo("It asks for the token: MMD_WEB_TOKEN")


COMMANDS: tuple[click.Command, ...] = (logs, doctor, notify_group, web)
