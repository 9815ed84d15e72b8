"""How `mmd check` asks the outside world, through the very clients that the processes use."""

from __future__ import annotations

import time
from contextlib import closing

from mmd.config.model import Settings
from mmd.config.secrets import AceKey
from mmd.faces.check import Probes
from mmd.faces.world import ace_endpoint
from mmd.venues.ace import calls
from mmd.venues.ace.client import AceClient
from mmd.venues.binance.frames import Cutter
from mmd.venues.binance.rest import Rest, SymbolRules
from mmd.venues.binance.stream import open_session, stream_address
from mmd.words.market import MarketRules, Pair

_NOBODY = AceKey("none", "none")
"""For public calls, which carry no key."""


def make() -> Probes:
    """The probes of the real command."""
    return Probes(
        markets=_markets,
        key_offset_ms=_key_offset_ms,
        binance_offset_ms=_binance_offset_ms,
        symbol=_symbol,
        stream=_stream,
    )


def _markets(settings: Settings) -> dict[Pair, MarketRules]:
    with closing(_client(settings, _NOBODY)) as client:
        return {rules.pair: rules for rules in client.call(calls.markets())}


def _key_offset_ms(settings: Settings, key: AceKey) -> float:
    with closing(_client(settings, key)) as client:
        client.call(calls.balances())
        return client.clock.venue_ms(time.monotonic_ns()) - time.time() * 1000


def _client(settings: Settings, key: AceKey) -> AceClient:
    assert settings.ace_url is not None
    return AceClient(ace_endpoint(settings, key, settings.ace_url))


def _binance_offset_ms(settings: Settings) -> float:
    assert settings.rest_url is not None
    with Rest(settings.rest_url) as rest:
        rest.server_time_ms()  # opens the connection, which takes its time
        before = time.time() * 1000
        venue_ms = rest.server_time_ms()
        return venue_ms - (before + time.time() * 1000) / 2


def _symbol(settings: Settings, symbol: str) -> SymbolRules:
    assert settings.rest_url is not None
    with Rest(settings.rest_url) as rest:
        return rest.exchange_info(symbol)


def _stream(settings: Settings) -> None:
    assert settings.stream_url is not None
    streams = [f"{symbol.lower()}@bookTicker" for symbol in settings.feeds]
    address = stream_address(settings.stream_url, streams)
    open_session(address, Cutter(), time.monotonic_ns).close()
