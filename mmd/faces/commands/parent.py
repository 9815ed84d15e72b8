"""The parent in the foreground."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mmd.faces import running
from mmd.faces.commands.common import PairName, config_option, site
from mmd.words.market import Pair


@click.command()
@config_option
def run(config: Path | None) -> None:
    """The parent in the foreground, without supervisord."""
    sys.exit(running.run(site(config)))


@click.command()
@click.argument("pair", type=PairName())
@click.option("--binance", help="Symbol on Binance to follow. Default: as configured.")
@config_option
def pair(pair: Pair, binance: str | None, config: Path | None) -> None:
    """One feed and one pair in the foreground: the classic single-pair bot.

    Deletes all open orders of the pair first, whoever placed them.
    """
    chosen = site(config)
    sys.exit(running.run(chosen, running.single_pair(chosen.settings(), pair, binance)))
