"""What was traded, and what came of it."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from mmd.faces import pnl as profit
from mmd.faces import trades as fills
from mmd.faces.commands.common import PairName, config_option, site, terminal
from mmd.faces.status import look
from mmd.words.market import Pair

_CSV = click.option("--csv", "as_csv", is_flag=True, help="For spreadsheets.")
_JSON = click.option("--json", "as_json", is_flag=True, help="For programs.")


@click.command()
@click.argument("pair", type=PairName(), required=False)
@_CSV
@_JSON
@click.option("--since", help="30m, 2d, today, 2026-03-01, '2026-03-01 14:30'. Default: all.")
@config_option
def trades(
    pair: Pair | None, as_csv: bool, as_json: bool, since: str | None, config: Path | None
) -> None:
    """Every fill: price, fee, spread earned, and what it was worth 1, 10 and 60 s later."""
    chosen = site(config)
    zone = ZoneInfo(chosen.settings().time_zone)
    try:
        since_ms = fills.since_ms(since, datetime.now(zone)) if since else 0
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--since") from None
    rows = fills.find(chosen.paths.records, chosen.paths.instance(), pair, since_ms)
    if as_json:
        click.echo(json.dumps(fills.to_rows(rows, zone), indent=2))
    elif as_csv:
        click.echo("\n".join(fills.csv_lines(fills.COLUMNS, fills.to_rows(rows, zone))))
    else:
        console = terminal()
        console.print(fills.render(rows, zone, console.width))


@click.command()
@click.argument("pair", type=PairName(), required=False)
@_CSV
@_JSON
@config_option
def pnl(pair: Pair | None, as_csv: bool, as_json: bool, config: Path | None) -> None:
    """Position, average cost, realised and unrealised profit, pair by pair and in TWD."""
    chosen = site(config)
    records = chosen.paths.records
    view = look(chosen.paths)
    is_up = view.parent_state == "running"
    market = profit.Market(
        view.quotes if is_up else {}, view.books if is_up else {}, profit.last_prices(records)
    )
    lines = profit.account(fills.find(records, chosen.paths.instance(), pair), market)
    if as_json:
        click.echo(json.dumps(profit.to_json(lines), indent=2))
    elif as_csv:
        click.echo("\n".join(fills.csv_lines(profit.COLUMNS, profit.to_rows(lines))))
    else:
        console = terminal()
        console.print(profit.render(lines, console.width))
