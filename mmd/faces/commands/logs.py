"""What the processes have written."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import click
from rich.console import Console

from mmd.faces.commands.common import config_option, site
from mmd.faces.logs_view import show


@click.command()
@click.argument("name", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on showing, until Ctrl-C.")
@click.option("-n", "--lines", type=click.IntRange(min=0), default=40, help="Default: 40.")
@config_option
def logs(name: str | None, follow: bool, lines: int, config: Path | None) -> None:
    """The newest lines of all logs, or of one process: btc_twd, feeds:btcusdt."""
    chosen = site(config)
    zone = ZoneInfo(chosen.settings().time_zone)
    show(chosen.paths.log, zone, Console(), name=name, count=lines, follow=follow)
