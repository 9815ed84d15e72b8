"""Start and stop everything."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from mmd.faces import operate
from mmd.faces.commands.common import config_option, replay_option, site, terminal
from mmd.faces.commands.web import PATIENCE_S, page_address
from mmd.faces.glance import Glances
from mmd.faces.service import AlreadyRunning
from mmd.faces.status_view import render


@click.command()
@config_option
@click.option("--foreground", is_flag=True, help="Stay in this terminal; Ctrl-C stops.")
@click.option("--web", "page", is_flag=True, help="With the page, though web.enabled be false.")
@replay_option
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(min=1),
    default=60.0,
    help="Seconds to wait until every pair quotes.",
)
def start(
    config: Path | None, foreground: bool, page: bool, replay: tuple[Path, ...], wait_s: float
) -> None:
    """Start everything; returns once every pair quotes."""
    console = terminal()
    chosen = site(config)
    try:
        with console.status("starting; waiting until every pair quotes on both sides"):
            operate.start(chosen, replay, foreground=foreground, page=page, wait_s=wait_s)
    except AlreadyRunning as error:
        console.print(f"{error}. See: mmd status")
        return
    console.print(render(*Glances(chosen).look(), console.width))
    if address := page_address(chosen.paths, PATIENCE_S):
        console.print(f"Page: {address}")
    console.print(f"Logs: {chosen.paths.log}   Watch: mmd status --watch   Stop: mmd stop")


@click.command()
@config_option
def stop(config: Path | None) -> None:
    """Stop everything; cancels all orders and proves it."""
    console = Console()
    with console.status("stopping; cancelling orders and proving that none is left"):
        ran = operate.stop(site(config))
    text = "stopped; proven: no order of ours is left" if ran else "mmd was not running"
    console.print(text)
