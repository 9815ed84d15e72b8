"""`mmd check`: whether mmd could start now; everything that is wrong, one line each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.text import Text

from mmd.config.load import load
from mmd.config.model import Settings
from mmd.config.paths import Paths
from mmd.config.secrets import AceKey, load_key
from mmd.venues.binance.rest import SymbolRules
from mmd.words.errors import ConfigError, Exit, MmdError, Refused
from mmd.words.market import MarketRules, Pair

CLOCK_LIMIT_MS = 1000
"""A clock that is off by more is reported as wrong, though mmd signs with the venue's time."""

_TRADING = "TRADING"
"""Binance's status of a symbol that can be traded."""


@dataclass(frozen=True)
class Probes:
    """How the outside world is asked. Each raises MmdError when it doesn't answer as it should."""

    markets: Callable[[Settings], dict[Pair, MarketRules]]
    """ACE's markets."""
    key_offset_ms: Callable[[Settings, AceKey], float]
    """Proves the key with a signed call that changes nothing; ACE's clock less ours."""
    binance_offset_ms: Callable[[Settings], float]
    """Binance's clock less ours."""
    symbol: Callable[[Settings, str], SymbolRules]
    """What Binance says of a symbol; Refused when there is none of that name."""
    stream: Callable[[Settings], None]
    """Connects to the streams of all symbols."""


@dataclass(frozen=True)
class Finding:
    """The outcome of one check."""

    exit_code: Exit
    text: str


def check(
    path: Path, paths: Paths, environ: Mapping[str, str], console: Console, probes: Probes
) -> Exit:
    """Prints what was found; 0, or 3 for what a person must mend, or 4 for an unreachable venue."""
    worst: Exit = Exit.DONE
    for finding in _findings(path, paths, environ, probes):
        _print(console, finding)
        if worst is not Exit.CONFIG and finding.exit_code is not Exit.DONE:
            worst = finding.exit_code
    return worst


def _print(console: Console, finding: Finding) -> None:
    good = finding.exit_code is Exit.DONE
    label = Text("ok     " if good else "error  ", style="green" if good else "bold red")
    console.print(label + Text(finding.text), soft_wrap=True, highlight=False)


def _findings(
    path: Path, paths: Paths, environ: Mapping[str, str], probes: Probes
) -> Iterator[Finding]:
    yield from _attempt(f"run-time files: {paths.home}", paths.check_sockets)
    try:
        settings = load(path)
    except ConfigError as error:
        yield from _failures("", error)
        return
    pairs = ", ".join(map(str, settings.pairs))
    yield _good(f"configuration: {path}: mode {settings.mode.value}, pairs {pairs}")
    key: AceKey | None = None
    try:
        key = load_key(settings, paths, environ)
        yield _good(f"key: {'of the simulated venue' if settings.ace_url is None else 'found'}")
    except ConfigError as error:
        yield from _failures("key: ", error)
    yield from _binance(settings, probes)
    yield from _ace(settings, key, probes)


def _binance(settings: Settings, probes: Probes) -> Iterator[Finding]:
    if settings.rest_url is None:
        yield _good("Binance REST: simulated")
    else:
        yield from _binance_rest(settings, settings.rest_url, probes)
    if settings.stream_url is None:
        yield _good("Binance streams: simulated")
    else:
        prefix = f"Binance streams: {settings.stream_url}"
        yield from _attempt(prefix, partial(probes.stream, settings))


def _binance_rest(settings: Settings, url: str, probes: Probes) -> Iterator[Finding]:
    try:
        offset_ms = probes.binance_offset_ms(settings)
    except MmdError as error:
        yield from _failures(f"Binance REST: {url}: ", error)
        return
    yield _good(f"Binance REST: {url} answers")
    yield _clock("Binance", offset_ms)
    followed = [
        (pair, symbol) for pair, s in settings.pairs.items() for symbol in s.binance.symbols
    ]
    for pair, symbol in followed:
        name = f"pairs.{pair}.binance: {symbol}"
        try:
            rules = probes.symbol(settings, symbol)
        except Refused:
            yield _bad(f"{name}: Binance has no such symbol")
            continue
        except MmdError as error:
            yield from _failures(f"{name}: ", error)
            continue
        if rules.status != _TRADING:
            yield _bad(f"{name}: Binance does not trade it now: {rules.status}")


def _ace(settings: Settings, key: AceKey | None, probes: Probes) -> Iterator[Finding]:
    if settings.ace_url is None:
        yield _good("ACE: simulated")
        return
    try:
        markets = probes.markets(settings)
    except MmdError as error:
        yield from _failures(f"ACE: {settings.ace_url}: ", error)
        return
    yield _good(f"ACE: {settings.ace_url} answers, {len(markets)} markets")
    yield from _market_faults(settings, markets)
    if key is None:
        return
    try:
        offset_ms = probes.key_offset_ms(settings, key)
        yield _good("ACE accepts the key")
        yield _clock("ACE", offset_ms)
    except MmdError as error:
        yield from _failures("ACE, signed call: ", error)


def _market_faults(settings: Settings, markets: Mapping[Pair, MarketRules]) -> Iterator[Finding]:
    """Where the configuration asks for what the venue doesn't have or doesn't take."""
    for rate in settings.rates:
        if rate not in markets:
            yield _bad(f"rates.{rate}: ACE has no such market")
    for pair, pair_settings in settings.pairs.items():
        rules = markets.get(pair)
        if rules is None:
            yield _bad(f"pairs.{pair}: ACE has no such market")
            continue
        amount = pair_settings.quote.amount
        name = f"pairs.{pair}.quote.amount"
        if rules.round_amount(amount.min) < rules.min_amount:
            yield _bad(
                f"{name}.min: found {amount.min:f}; must be at least {rules.min_amount:f} on ACE"
            )
        if amount.max > rules.max_amount:
            yield _bad(
                f"{name}.max: found {amount.max:f}; must be at most {rules.max_amount:f} on ACE"
            )


def _clock(venue: str, offset_ms: float) -> Finding:
    how = "behind" if offset_ms > 0 else "ahead of"
    text = f"clock: {abs(offset_ms) / 1000:.3f} s {how} {venue}"
    if abs(offset_ms) <= CLOCK_LIMIT_MS:
        return _good(text)
    return _bad(f"{text}; must be within 1 s: use network time, as in `timedatectl set-ntp true`")


def _attempt(subject: str, ask: Callable[[], None]) -> Iterator[Finding]:
    try:
        ask()
    except MmdError as error:
        yield from _failures(f"{subject}: ", error)
        return
    yield _good(subject)


def _failures(prefix: str, error: MmdError) -> Iterator[Finding]:
    problems = error.problems if isinstance(error, ConfigError) else (str(error),)
    unreachable = error.exit_code is Exit.UNREACHABLE
    for problem in problems:
        yield Finding(Exit.UNREACHABLE if unreachable else Exit.CONFIG, prefix + problem)


def _good(text: str) -> Finding:
    return Finding(Exit.DONE, text)


def _bad(text: str) -> Finding:
    return Finding(Exit.CONFIG, text)
