"""`mmd sim`: the simulated venues, each on its own for any client."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click

from mmd.faces.commands.common import replay_option
from mmd.sim import ace, binance
from mmd.words.errors import Unavailable

EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def sim() -> None:
    """Simulated venues that speak the real wire."""


class Speed(click.ParamType[float]):
    """A positive number, or `max`."""

    name = "speed"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            return value if isinstance(value, float) else binance.parse_speed(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@sim.command("binance")
@click.option("--port", type=click.IntRange(0, 65535), required=True, help="0: any free one.")
@replay_option
@click.option("--once", is_flag=True, help="Play them once, then stay silent, still connected.")
@click.option("--speed", type=Speed(), default=1.0, help="Multiple of real time, or max.")
@click.option("--seed", type=int, default=1, help="Of the made-up market without recordings.")
@click.option("--tls", is_flag=True, help="wss and https, with a certificate made on the spot.")
def sim_binance(
    port: int, replay: tuple[Path, ...], once: bool, speed: float, seed: int, tls: bool
) -> None:
    """Binance's streams and market-data REST calls."""
    options = binance.BinanceSimOptions(
        port=port, replay=replay, once=once, speed=speed, seed=seed, tls=tls
    )
    _run(binance.serve(options), port)


@sim.command("ace")
@click.option("--port", type=click.IntRange(0, 65535), required=True, help="0: any free one.")
@click.option("--seed", type=int, default=1, help="Of the other participants.")
@click.option("--batch", is_flag=True, help="Offer batch calls.")
@click.option("--tls", is_flag=True, help="https, with a certificate made on the spot.")
@click.option(
    "--folder", type=click.Path(file_okay=False, path_type=Path), help="Keep the record here."
)
def sim_ace(port: int, seed: int, batch: bool, tls: bool, folder: Path | None) -> None:
    """The ACE exchange, REST API v2; API key `paper`, secret `paper-secret`."""
    options = ace.AceSimOptions(port=port, seed=seed, batch=batch, tls=tls, folder=folder)
    _run(ace.serve(options), port)


def _run(server: Coroutine[Any, Any, None], port: int) -> None:
    try:
        asyncio.run(server)
    except OSError as error:
        raise Unavailable(f"can't listen on port {port}: {error.strerror}") from None
