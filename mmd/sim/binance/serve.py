"""The simulated venue as a program of its own."""

from __future__ import annotations

import asyncio
import math
import signal
import tempfile
from dataclasses import replace
from pathlib import Path

from mmd.sim.binance.server import BinanceSim, BinanceSimOptions


def parse_speed(text: str) -> float:
    """Reads `max` or a positive number. Raises ValueError."""
    speed = math.inf if text == "max" else float(text)
    if not speed > 0:
        raise ValueError(f"{text!r} is not a speed; write a positive number or max")
    return speed


async def serve(options: BinanceSimOptions) -> None:
    """Runs until SIGTERM or SIGINT; says on standard output where it listens.

    Raises ConfigError when a recording can't be used and OSError when the port is taken.
    """
    with tempfile.TemporaryDirectory(prefix="mmd-sim-") as folder:
        if options.tls and options.ca_file is None:
            options = replace(options, ca_file=Path(folder) / "ca.pem")
        sim = BinanceSim(options)
        async with sim:
            _announce(sim)
            await _until_told(sim)


def _announce(sim: BinanceSim) -> None:
    print(f"simulated Binance: streams {sim.stream_url}, REST {sim.rest_url}", flush=True)
    if sim.options.tls:
        print(f"trust this authority: {sim.options.ca_file}", flush=True)


async def _until_told(sim: BinanceSim) -> None:
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    broken = asyncio.create_task(sim.wait_broken())
    waiting = asyncio.create_task(told.wait())
    try:
        await asyncio.wait((broken, waiting), return_when=asyncio.FIRST_COMPLETED)
        if broken.done():
            broken.result()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        broken.cancel()
        waiting.cancel()
        await asyncio.wait((broken, waiting))
