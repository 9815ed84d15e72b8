"""Orders, with everything else up or down."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mmd.faces import cancel as cancelling
from mmd.faces.commands.common import PairName, config_option, site
from mmd.processes.sweep import Whose
from mmd.venues.ace.budget import BudgetSpec
from mmd.words.errors import Exit
from mmd.words.market import Pair

_CANCEL_PATIENCE_S = 30.0


@click.command()
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
