"""The questions that `mmd check` puts to the outside world, over the clients that trade."""

from __future__ import annotations

import time

from mmd.config.model import Settings
from mmd.config.secrets import PAPER_KEY, AceKey
from mmd.faces.check import Probes
from mmd.faces.world import ace_endpoint
from mmd.venues.ace import calls
from mmd.venues.ace.client import AceClient
from mmd.venues.binance.frames import Cutter
from mmd.venues.binance.rest import Rest, SymbolRules
from mmd.venues.binance.stream import open_session, stream_address
from mmd.words.market import MarketRules, Pair


def network_probes() -> Probes:
    """Probes that ask the real hosts, or the simulated ones that the settings name."""
    return Probes(
        markets=_markets,
        key_offset_ms=_key_offset_ms,
        binance_offset_ms=_binance_offset_ms,
        symbol=_symbol,
        stream=_stream,
    )


def _client(settings: Settings, key: AceKey) -> AceClient:
    assert settings.ace_url is not None, "the caller asks only where an address is configured"
    return AceClient(ace_endpoint(settings, key, settings.ace_url))


def _rest(settings: Settings) -> Rest:
    assert settings.rest_url is not None, "the caller asks only where an address is configured"
    return Rest(settings.rest_url)


def _markets(settings: Settings) -> dict[Pair, MarketRules]:
    with _client(settings, PAPER_KEY) as client:  # unsigned, so no key is sent
        return {rules.pair: rules for rules in client.call(calls.markets())}


def _key_offset_ms(settings: Settings, key: AceKey) -> float:
    with _client(settings, key) as client:
        client.call(calls.balances())
        return client.clock.venue_ms(time.monotonic_ns()) - time.time() * 1000


def _binance_offset_ms(settings: Settings) -> float:
    """Binance's clock less ours, right to within half of the round trip."""
    with _rest(settings) as rest:
        rest.server_time_ms()  # opens the connection, so that the second answer comes quickly
        sent_ms = time.time() * 1000
        venue_ms = rest.server_time_ms()
        return venue_ms - (sent_ms + time.time() * 1000) / 2


def _symbol(settings: Settings, symbol: str) -> SymbolRules:
    with _rest(settings) as rest:
        return rest.exchange_info(symbol)


def _stream(settings: Settings) -> None:
    assert settings.stream_url is not None, "the caller asks only where an address is configured"
    streams = [f"{symbol.lower()}@bookTicker" for symbol in settings.feeds]
    address = stream_address(settings.stream_url, streams)
    open_session(address, Cutter(), time.monotonic_ns).close()
