"""Raw Binance streams, kept."""

from __future__ import annotations

import signal
from pathlib import Path

import click

from mmd.config.model import BINANCE_REST_URL, BINANCE_STREAM_URL
from mmd.faces.commands.common import config_option, site
from mmd.faces.record import record as record_streams
from mmd.processes.context import Stop


@click.command()
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
