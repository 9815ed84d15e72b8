"""What runs, what it quotes, and why."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import click
from rich.console import Console
from rich.live import Live

from mmd.config.paths import Paths
from mmd.faces import explain as explaining
from mmd.faces.commands.common import PairName, config_option, site, terminal
from mmd.faces.glance import Glances, profits_today
from mmd.faces.status import look, to_json
from mmd.faces.status_view import render
from mmd.words.market import Pair

_WATCH_EVERY_S = 0.5


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--watch", is_flag=True, help="Keep on showing, until Ctrl-C.")
@config_option
def status(as_json: bool, watch: bool, config: Path | None) -> None:
    """What runs and what it quotes, whether it is well and what it earns."""
    chosen = site(config)
    glances = Glances(chosen, many=watch)
    if as_json:
        seen, extras = glances.look()
        shown = to_json(look(chosen.paths), profits_today(seen, extras))
        click.echo(json.dumps(shown, indent=2))
        return
    console = terminal()
    if not watch:
        console.print(render(*glances.look(), console.width))
        return
    with Live(render(*glances.look(), console.width), console=console, screen=console.is_terminal,
              auto_refresh=False) as live:  # fmt: skip
        try:
            while True:
                time.sleep(_WATCH_EVERY_S)
                live.update(render(*glances.look(), console.width), refresh=True)
        except KeyboardInterrupt:
            return


@click.command()
@click.argument("pair", type=PairName())
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def explain(pair: Pair, as_json: bool) -> None:
    """The present ladder level by level: prices, adjustments, and what becomes of each order."""
    found = explaining.ask(Paths.default(os.environ), pair)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        Console().print(explaining.render(found))
