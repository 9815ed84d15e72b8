"""The command line: one short function for each command, thin over the other faces."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.live import Live

import mmd
from mmd.config.model import BINANCE_REST_URL, BINANCE_STREAM_URL
from mmd.config.paths import Paths
from mmd.config.shape import schema
from mmd.faces import cancel as cancelling
from mmd.faces import explain as explaining
from mmd.faces import operate, probes
from mmd.faces.check import check as check_all
from mmd.faces.cli_sim import sim
from mmd.faces.operate import Site
from mmd.faces.record import record as record_streams
from mmd.faces.service import AlreadyRunning
from mmd.faces.status import look, print_status, render, to_json
from mmd.processes.context import Stop
from mmd.processes.sweep import Whose
from mmd.supervision.control import command as command_parent
from mmd.venues.ace.budget import BudgetSpec
from mmd.words.errors import ConfigError, Exit, MmdError, OrdersLeft
from mmd.words.market import Pair

EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)
_CANCEL_PATIENCE_S = 30.0


class PairName(click.ParamType[Pair]):
    """`BTC/TWD` or `btc_twd`."""

    name = "pair"

    def convert(self, value: Any, param: Any, ctx: Any) -> Pair:
        try:
            return value if isinstance(value, Pair) else Pair.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def config_option(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--config", type=EXISTING, envvar="MMD_CONFIG", help="Default: conf/pairs.yaml."
    )(function)


def site(config: Path | None = None) -> Site:
    """The installation that this process belongs to."""
    paths = Paths.default(os.environ)
    return Site(paths, (config or paths.pairs_yaml).absolute(), os.environ)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(mmd.__version__, prog_name="mmd")
def cli() -> None:
    """mmd quotes both sides of ACE's order books around Binance's price."""


cli.add_command(sim)


@cli.command()
@config_option
@click.option("--foreground", is_flag=True, help="Stay in this terminal; Ctrl-C stops.")
@click.option("--replay", type=EXISTING, multiple=True, help="Recorded streams instead of a path.")
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(min=1),
    default=60.0,
    help="Seconds to wait until every pair quotes.",
)
def start(config: Path | None, foreground: bool, replay: tuple[Path, ...], wait_s: float) -> None:
    """Start everything; returns once every pair quotes."""
    console = Console()
    chosen = site(config)
    try:
        with console.status("starting; waiting until every pair quotes on both sides"):
            view = operate.start(chosen, replay, foreground, wait_s)
    except AlreadyRunning as error:
        console.print(f"{error}. See: mmd status")
        return
    print_status(view, console)
    console.print(f"Logs: {chosen.paths.log}   Watch: mmd status --watch   Stop: mmd stop")


@cli.command()
@config_option
def stop(config: Path | None) -> None:
    """Stop everything; cancels all orders and proves it."""
    console = Console()
    with console.status("stopping; cancelling orders and proving that none is left"):
        ran = operate.stop(site(config))
    text = "stopped; proven: no order of ours is left" if ran else "mmd was not running"
    console.print(text)


@cli.command()
@config_option
def run(config: Path | None) -> None:
    """The parent in the foreground, without supervisord."""
    sys.exit(operate.run(site(config)))


@cli.command()
@click.argument("pair", type=PairName())
@click.option("--binance", help="Symbol on Binance to follow. Default: as configured.")
@config_option
def pair(pair: Pair, binance: str | None, config: Path | None) -> None:
    """One feed and one pair in the foreground: the classic single-pair bot.

    Deletes all open orders of the pair first, whoever placed them.
    """
    chosen = site(config)
    sys.exit(operate.run(chosen, operate.single_pair(chosen.settings(), pair, binance)))


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--watch", is_flag=True, help="Keep on showing, until Ctrl-C.")
def status(as_json: bool, watch: bool) -> None:
    """What runs and what it quotes."""
    paths = Paths.default(os.environ)
    if as_json:
        click.echo(json.dumps(to_json(look(paths)), indent=2))
        return
    console = Console()
    if not watch:
        print_status(look(paths), console)
        return
    first = render(look(paths), console.width)
    with Live(first, console=console, screen=console.is_terminal) as live:
        try:
            while True:
                time.sleep(0.5)
                live.update(render(look(paths), console.width), refresh=True)
        except KeyboardInterrupt:
            return


@cli.command()
@click.argument("pair", type=PairName())
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def explain(pair: Pair, as_json: bool) -> None:
    """The present ladder level by level: prices, adjustments, and what becomes of each order."""
    found = explaining.ask(Paths.default(os.environ), pair)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        Console().print(explaining.render(found))


@cli.command()
@click.argument("pairs", type=PairName(), nargs=-1)
@click.option("--all", "foreign_too", is_flag=True, help="Orders that are not ours too.")
@config_option
def cancel(pairs: tuple[Pair, ...], foreign_too: bool, config: Path | None) -> None:
    """Cancel our open orders and prove it; works with everything else down."""
    chosen = site(config)
    settings = chosen.settings()
    chosen.paths.make()
    results = cancelling.cancel(
        chosen.world(settings).ace,
        BudgetSpec(chosen.paths.run, settings.ace.rate_limit_per_s, settings.ace.burst),
        pairs,
        Whose.ALL if foreign_too else Whose.OURS,
        chosen.paths.instance(),
        settings.ace.settle_s,
        _CANCEL_PATIENCE_S,
    )
    for name, result in results:
        click.echo(cancelling.report(name, result))
    if not all(result.proven for _, result in results):
        sys.exit(Exit.ORDERS_LEFT)


@cli.command()
@config_option
@click.option("--schema", "print_schema", is_flag=True, help="JSON schema for editors.")
def check(config: Path | None, print_schema: bool) -> None:
    """Configuration, key, clock and venues: all errors at once."""
    if print_schema:
        click.echo(json.dumps(schema(), indent=2))
        return
    chosen = site(config)
    sys.exit(check_all(chosen.config, chosen.paths, os.environ, Console(), probes.make()))


@cli.command()
@click.argument("symbols", nargs=-1, required=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True)
@click.option("--minutes", type=click.FloatRange(min=0), help="Default: until Ctrl-C.")
@config_option
def record(symbols: tuple[str, ...], out: Path, minutes: float | None, config: Path | None) -> None:
    """Keep raw Binance streams, for `start --replay`. SYMBOLS as in BTCUSDT."""
    settings = site(config).settings()
    stop = Stop()
    stop.on_term()
    signal.signal(signal.SIGINT, signal.getsignal(signal.SIGTERM))
    if minutes is not None:
        signal.signal(signal.SIGALRM, signal.getsignal(signal.SIGTERM))
        signal.setitimer(signal.ITIMER_REAL, max(minutes * 60, 0.001))
    done = record_streams(
        settings.stream_url or BINANCE_STREAM_URL,
        settings.rest_url or BINANCE_REST_URL,
        [symbol.upper() for symbol in symbols],
        out,
        stop,
    )
    click.echo(f"{out}: {done.messages:,} messages over {done.connections} connections")


def _command(do: str, name: str) -> None:
    reply = command_parent(Paths.default(os.environ).control_socket, do, [name])
    for result in reply["results"]:
        click.echo(f"{result['name']}: {result['text'] or result['code']}")
    if not reply["ok"]:
        if reply.get("text"):
            click.echo(reply["text"], err=True)
        sys.exit(Exit.FAILED)


@cli.command()
@click.argument("name")
def pause(name: str) -> None:
    """Pull a pair's quotes and keep them away; its process stays."""
    _command("pause", name)


@cli.command()
@click.argument("name")
def resume(name: str) -> None:
    """Let a paused pair quote again."""
    _command("resume", name)


@cli.command()
@click.argument("name")
def restart(name: str) -> None:
    """Restart a feed, rate, pair or job."""
    _command("restart", name)


@cli.command()
def reload() -> None:
    """Read the configuration anew; only what changed is touched."""
    reply = command_parent(Paths.default(os.environ).control_socket, "reload")
    click.echo(reply["text"], err=not reply["ok"])
    if not reply["ok"]:
        sys.exit(Exit.CONFIG)


def main() -> None:
    """Runs a command; what mmd raises on purpose ends as one clear message and an exit code."""
    try:
        cli()
    except ConfigError as error:
        _fail("\n".join(error.problems), error.exit_code)
    except OrdersLeft as error:
        _fail(str(error), error.exit_code)
    except MmdError as error:
        _fail(str(error), error.exit_code)


def _fail(text: str, code: Exit) -> None:
    click.echo(f"mmd: {text}", err=True)
    sys.exit(code)
