"""What runs, what it quotes, and why."""

from __future__ import annotations

import json
import os
import time

import click
from rich.console import Console
from rich.live import Live

from mmd.config.paths import Paths
from mmd.faces import explain as explaining
from mmd.faces.commands.common import PairName
from mmd.faces.status import look, print_status, render, to_json
from mmd.words.market import Pair


@click.command()
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
