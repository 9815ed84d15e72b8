"""The process of the simulated outside world: Binance's streams and the ACE exchange, joined.

What a coin is worth on the exchange is what it costs on Binance, times USDT/TWD for markets in
TWD; USDT/TWD follows a seeded path of its own. Started by `mmd.sim.paper`, which tells the rest.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp

from mmd.sim.ace import AceSim, AceSimOptions, paper_accounts
from mmd.sim.ace.paths import RatePath
from mmd.sim.binance import BinanceSim, BinanceSimOptions
from mmd.sim.paper import PaperAddress, PaperOptions, address, folder
from mmd.words.errors import Exit, MmdError, Unavailable
from mmd.words.market import Pair
from mmd.words.source import Source

log = logging.getLogger(__name__)

Top = Callable[[str], tuple[Decimal, Decimal] | None]
"""Best bid and ask of a Binance symbol; None while unknown."""
_USDT_TWD = Pair("USDT", "TWD")
_POLL_S = 1.0
_MAX_AGE_S = 10.0
_REQUEST_LIMIT_S = 5.0


class FairPrices:
    """What everything is worth to the exchange's other participants."""

    def __init__(self, options: PaperOptions, top: Top) -> None:
        self._sources = dict(options.pairs)
        self._rate = RatePath(options.seed)
        self._top = top

    def at(self, pair: Pair, now_ms: int) -> Decimal | None:
        rate = self._rate.at(now_ms)
        if pair == _USDT_TWD:
            return rate
        middle = self._sources.get(pair, Source(f"{pair.base}USDT")).middle(self._middle)
        if middle is None:
            return None
        return middle * rate if pair.quote == "TWD" else middle

    def _middle(self, symbol: str) -> Decimal | None:
        top = self._top(symbol)
        return None if top is None else (top[0] + top[1]) / 2


class LivePrices:
    """Tops of real Binance, polled by REST for the symbols that anybody asked for."""

    def __init__(self, rest_url: str) -> None:
        self._url = rest_url.rstrip("/") + "/api/v3/ticker/bookTicker"
        self._tops: dict[str, tuple[Decimal, Decimal]] = {}
        self._wanted: set[str] = set()
        self._asked_ns = 0

    def top(self, symbol: str) -> tuple[Decimal, Decimal] | None:
        """None while the price is unknown, or older than ten seconds."""
        self._wanted.add(symbol)
        age_ns = time.monotonic_ns() - self._asked_ns
        return self._tops.get(symbol) if age_ns < _MAX_AGE_S * 1e9 else None

    async def run(self) -> None:
        """Polls until cancelled. A request that fails is tried again."""
        timeout = aiohttp.ClientTimeout(total=_REQUEST_LIMIT_S)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as session:
            while True:
                if self._wanted:
                    try:
                        await self._poll(session)
                    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError) as error:
                        log.warning("no price from %s: %r", self._url, error)
                await asyncio.sleep(_POLL_S)

    async def _poll(self, session: aiohttp.ClientSession) -> None:
        asked_ns = time.monotonic_ns()
        symbols = json.dumps(sorted(self._wanted), separators=(",", ":"))
        async with session.get(self._url, params={"symbols": symbols}) as reply:
            reply.raise_for_status()
            rows: list[dict[str, Any]] = await reply.json()
        self._tops = {
            row["symbol"]: (Decimal(row["bidPrice"]), Decimal(row["askPrice"])) for row in rows
        }
        self._asked_ns = asked_ns


async def run(
    home: Path, options: PaperOptions, where: PaperAddress, ready: Callable[[], None]
) -> None:
    """Runs the world until TERM, and says when it listens.

    Raises Unavailable when a port is taken, ConfigError when a recording or the record can't be
    used, and whatever breaks one of its parts.
    """
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
    binance = BinanceSim(
        BinanceSimOptions(
            port=where.binance_port,
            replay=options.replay,
            speed=options.speed,
            seed=options.seed,
        )
    )
    live = LivePrices(options.live_rest_url) if options.live_rest_url else None
    fair = FairPrices(options, live.top if live else binance.top)
    exchange = AceSim(
        AceSimOptions(
            port=where.ace_port,
            seed=options.seed,
            folder=folder(home) / "record",
            accounts=paper_accounts(options.balances),
            pairs=(_USDT_TWD, *options.pairs),
            batch=options.batch,
            rate_limit_per_s=options.rate_limit_per_s,
        ),
        fair.at,
    )
    async with contextlib.AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(binance)
        except OSError as error:
            raise Unavailable(f"port {where.binance_port}: {error.strerror}") from error
        await stack.enter_async_context(exchange)
        ready()
        parts: list[Coroutine[Any, Any, object]] = [
            binance.wait_broken(),
            exchange.run(),
            asked.wait(),
        ]
        if live is not None:
            parts.append(live.run())
        await _first(*parts)


async def _first(*parts: Coroutine[Any, Any, object]) -> None:
    """Waits until one ends, ends the others, and raises what it raised."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    for task in done:
        task.result()


def main(arguments: list[str]) -> int:
    """`HOME FD`: detaches, then runs the world; writes `ready`, or what went wrong, to FD."""
    home, channel = Path(arguments[0]), int(arguments[1])
    if os.fork():
        return Exit.DONE
    os.setsid()
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    starter = _Starter(channel)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        with _locked(home):
            options = PaperOptions.from_json(
                json.loads((folder(home) / "options.json").read_text())
            )
            where = address(home)
            if where is None:
                raise Unavailable("no ports were chosen")
            asyncio.run(run(home, options, where, lambda: starter.say("ready")))
    except MmdError as error:
        log.error("%s", error)
        starter.say(str(error))
        return error.exit_code
    return Exit.DONE


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[None]:
    with (folder(home) / "lock").open("a+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Unavailable("another one runs") from None
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


class _Starter:
    """The pipe to whoever started us, who waits for one line and may have lost patience."""

    def __init__(self, channel: int) -> None:
        os.set_inheritable(channel, False)
        self._channel: int | None = channel

    def say(self, text: str) -> None:
        """Says it, if nothing was said before."""
        if self._channel is None:
            return
        with contextlib.suppress(BrokenPipeError):
            os.write(self._channel, text.replace("\n", " ").encode() + b"\n")
        os.close(self._channel)
        self._channel = None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
