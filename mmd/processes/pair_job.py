"""What the worker of one pair is told, and what it learns of the venue before it begins."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mmd.cells.layouts import BookCell, DepthCell, QuotesCell, WantedCell
from mmd.cells.wake import Bell
from mmd.config.model import JournalSettings, Mode, PairSettings, RateSettings
from mmd.processes.attended import AttendedClient
from mmd.processes.context import ChildContext
from mmd.venues.ace import calls
from mmd.venues.ace.budget import BudgetSpec
from mmd.venues.ace.endpoint import AceEndpoint
from mmd.words.errors import ConfigError, Unavailable
from mmd.words.market import MarketRules, Pair

_RETRY_S = 0.5


@dataclass(frozen=True)
class PairJob:
    """What a worker is told."""

    pair: Pair
    settings: PairSettings
    ace: AceEndpoint
    instance: str
    settle_s: float
    stop_limit_s: float
    seed: int | None
    """Of the random draws; None: unpredictable."""
    book: BookCell
    rate: BookCell | None
    rate_settings: RateSettings | None
    quotes: QuotesCell
    wanted: WantedCell
    price_bells: tuple[Bell, ...]
    """Rung by the book and the rate."""
    account_bell: Bell
    """Rung by the account process when it has news."""
    trouble_bell: Bell
    """Rung by the pair when an order may arrive late: the account process looks more often."""
    budget: BudgetSpec
    store: Path
    """Where the account process records what the venue says of us."""
    leg: BookCell | None = None
    """Of a cross, the second book of Binance."""
    depth: DepthCell | None = None
    """Binance's order book, where a ladder reckons with the costs of hedging."""
    mode: Mode = Mode.LIVE
    """In which no pair trades with itself."""
    journal: JournalSettings = field(default_factory=JournalSettings)


def learn_rules(job: PairJob, client: AttendedClient, context: ChildContext) -> MarketRules:
    """The venue's rules for the pair, asked until it answers. Raises Leave when told to."""
    while True:
        try:
            markets = client.call(calls.markets())
            break
        except Unavailable as error:
            context.heart.count_error(str(error))
            client.pause(_RETRY_S)
    for rules in markets:
        if rules.pair == job.pair:
            _check_amounts(job, rules)
            return rules
    known = ", ".join(str(rules.pair) for rules in markets)
    raise ConfigError(f"pairs.{job.pair}: ACE has no such market; it has {known}")


def _check_amounts(job: PairJob, rules: MarketRules) -> None:
    amount = job.settings.quote.amount
    if amount.min < rules.min_amount or amount.max > rules.max_amount:
        raise ConfigError(
            f"pairs.{job.pair}.quote.amount: found {amount.min} to {amount.max}; "
            f"ACE takes {rules.min_amount} to {rules.max_amount} {job.pair.base}"
        )
