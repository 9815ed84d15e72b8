"""conf/pairs.yaml as models: frozen, checked, units in the names, money as Decimal."""

from __future__ import annotations

import zoneinfo
from decimal import Decimal
from enum import Enum
from ipaddress import ip_address
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from mmd.config.base import (
    EMPTY_IF_NONE,
    AmountRange,
    Fault,
    HttpUrl,
    Number,
    PairName,
    SecondsRange,
    Strict,
    WebSocketUrl,
    pattern,
    plain,
    split_url,
)
from mmd.config.quote import (
    AUTO,
    CleanStart,
    FirstSide,
    PairSettings,
    QuoteSettings,
    SelfTradeMethod,
    SelfTradeSettings,
)
from mmd.config.quoting import ReferenceKind
from mmd.config.risk import KillLevel, KillSettings, RiskSettings
from mmd.words.market import Pair
from mmd.words.source import Source

__all__ = [
    "AceSettings",
    "AlertSettings",
    "AmountRange",
    "BatchSettings",
    "BinanceSettings",
    "CleanStart",
    "FirstSide",
    "IntensitySettings",
    "JournalSettings",
    "KillLevel",
    "KillSettings",
    "LogSettings",
    "Mode",
    "PairSettings",
    "PaperSettings",
    "QuoteSettings",
    "RateSettings",
    "RiskSettings",
    "SecondsRange",
    "SelfTradeMethod",
    "SelfTradeSettings",
    "Settings",
    "SupervisionSettings",
    "WebSettings",
]

BINANCE_STREAM_URL = "wss://stream.binance.com:9443"
BINANCE_REST_URL = "https://api.binance.com"
ACE_URL = "https://ace.io/polarisex"
"""Base of the public exchange, from its own API document."""
_PUBLIC_ACE_HOSTS = ("ace.io", "www.ace.io")
_AUTO_RATES = {"TWD": Pair("USDT", "TWD"), "USDT": None}
WASH_TRADING = (
    "must be false in live mode: trading with oneself on a public market is wash trading, "
    "which misleads others and is unlawful"
)


class Mode(Enum):
    """Against which outside world mmd works."""

    PAPER = "paper"
    TESTNET = "testnet"
    LIVE = "live"


class BinanceSettings(Strict):
    """Where market data comes from."""

    stream_url: WebSocketUrl | None = None
    """WebSocket host; not given: the simulated streams in paper mode, else Binance."""
    rest_url: HttpUrl | None = None
    """REST host; not given: the simulated one in paper mode, else Binance."""
    trades: Literal["trade", "aggTrade"] = "trade"
    """Stream that traded volume is counted from; aggTrade has fewer messages."""


CallPath = Annotated[str, pattern("/[!-~]*", "must be a path that begins with /")]


class BatchSettings(Strict):
    """The private batch calls that ACE gives market makers by contract; not given: single calls."""

    submit_path: CallPath | None = None
    """Path of the call that places several orders."""
    cancel_path: CallPath | None = None
    """Path of the call that cancels several orders."""
    max_orders: int = Field(default=20, ge=1, le=500)
    """Most orders in one batch call."""


class AceSettings(Strict):
    """The venue that we quote on."""

    base_url: HttpUrl | None = None
    """Base of all calls; not given: the simulated venue in paper mode, the exchange in live
    mode. Must be given in testnet mode."""
    rate_limit_per_s: Number = Field(default=Decimal(10), gt=0, le=10_000)
    """Requests that the venue allows us, for all pairs together."""
    burst: int = Field(default=20, ge=1, le=10_000)
    """Requests that may be made at once after a quiet time."""
    settle_s: float = Field(default=2, ge=0, le=60)
    """Time between the two order lists that prove that nothing is left."""
    timeout_s: float = Field(default=5, ge=0.1, le=60)
    """Longest wait for a reply."""
    batch: BatchSettings = BatchSettings()
    """Batch calls."""


Currency = Annotated[str, pattern("[A-Z0-9]{2,12}", "must be a currency in capitals, such as TWD")]
Funds = Annotated[Number, Field(ge=0, le=Decimal("1e18"))]


def _paper_balances() -> dict[str, Decimal]:
    return {
        "TWD": Decimal(100_000_000),
        "USDT": Decimal(1_000_000),
        "BTC": Decimal(50),
        "ETH": Decimal(1000),
    }


class PaperSettings(Strict):
    """The simulated outside world of paper mode."""

    seed: int = Field(default=1, ge=0, lt=2**63)
    """Chooses the price path; the same seed gives the same path."""
    speed: float = Field(default=1, gt=0, le=1000)
    """How much faster than real time prices move; 1: real time."""
    balances: Annotated[dict[Currency, Funds], EMPTY_IF_NONE] = Field(
        default_factory=_paper_balances
    )
    """What the account holds at first, by currency."""


class RateSettings(Strict):
    """One conversion rate, read from ACE's order book."""

    poll_s: float = Field(default=3, ge=0.1, le=60)
    """Time between two looks at the order book."""
    max_age_s: float = Field(default=10, ge=0.2, le=300)
    """Quotes that need the rate are pulled when it is older than this."""

    def faults(self) -> list[Fault]:
        if self.max_age_s <= self.poll_s:
            return [
                Fault(
                    ("max_age_s",),
                    f"must be more than poll_s, which is {plain(self.poll_s)}",
                    (("poll_s",),),
                )
            ]
        return []


class IntensitySettings(Strict):
    """How many restarts of one child are borne before it is parked."""

    count: int = Field(default=10, ge=1, le=1000)
    """Restarts that are borne within the time; one more parks the child."""
    within_s: float = Field(default=60, ge=1, le=86_400)
    """The time in which they are counted."""


class SupervisionSettings(Strict):
    """How the parent watches its children."""

    stall_limit_s: float = Field(default=1, ge=0.25, le=60)
    """A child without a heartbeat for this long is killed and replaced."""
    start_limit_s: float = Field(default=20, ge=1, le=300)
    """Time that a child may take until it does its job."""
    stop_limit_s: float = Field(default=15, ge=1, le=300)
    """Time that a child may take to cancel its orders and leave."""
    lease_s: float = Field(default=2, ge=0.5, le=60)
    """Pairs cancel and leave when the parent was silent for this long."""
    healthy_s: float = Field(default=30, ge=1, le=3600)
    """A child that did its job for this long starts with a clean record."""
    intensity: IntensitySettings = IntensitySettings()
    """Restarts that are borne."""
    backoff_s: SecondsRange = SecondsRange(min=0.25, max=10)
    """Pause before a restart: min at first, doubled each time up to max."""
    memory_limit_mb: int = Field(default=200, ge=50, le=65_536)
    """A child that grows larger than this is restarted."""


class LogSettings(Strict):
    """What happens to old logs."""

    keep_days: int = Field(default=30, ge=1, le=3650)
    """Days after which a day's logs are deleted."""


class JournalSettings(Strict):
    """What is kept of each pair's decisions, requests and replies, to be replayed."""

    keep_days: int = Field(default=14, ge=1, le=3650)
    """Days after which a day's journal is deleted."""
    max_mb: int = Field(default=1000, ge=1, le=1_000_000)
    """Most that one pair's journal may take; the oldest goes first."""


class AlertSettings(Strict):
    """Of what people are told, and how often. To whom is a secret, given in the environment or
    in conf/secrets.env: MMD_ALERT_URLS, MMD_ALERT_WEBHOOK."""

    group_s: float = Field(default=3, ge=0, le=300)
    """What comes to pass within this time goes into one message."""
    pause_s: float = Field(default=30, ge=0, le=3600)
    """Shortest time between two messages."""
    repeat_s: float = Field(default=3600, ge=10, le=604_800)
    """The same trouble of the same process is told again after this time only."""
    stale_price_s: float = Field(default=10, ge=1, le=3600)
    """A price that is missing or not confirmed for this long is told of."""
    min_balances: Annotated[dict[Currency, Funds], EMPTY_IF_NONE] = Field(default_factory=dict)
    """Free balances below which one is told, by currency."""
    min_disk_mb: int = Field(default=500, ge=1, le=1_000_000)
    """Free disk space below which one is told."""


class WebSettings(Strict):
    """The operator's page and the metrics for Prometheus."""

    enabled: bool = False
    """Whether the page is served."""
    host: str = Field(default="127.0.0.1", min_length=1, max_length=253)
    """Address to listen on. Any but this machine's own needs a token in MMD_WEB_TOKEN."""
    port: int = Field(default=8420, ge=0, le=65_535)
    """Port to listen on; 0: any free one."""

    @property
    def is_loopback(self) -> bool:
        """Only this machine can reach it."""
        return _is_loopback(self.host)


def _check_time_zone(name: str) -> str:
    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        raise PydanticCustomError("time_zone", "must be a time zone such as Asia/Taipei") from None
    return name


_EXAMPLE_PAIRS = {
    "BTC/TWD": {"binance": "BTCUSDT", "quote": {"amount": {"min": "0.002", "max": "0.01"}}}
}


class Settings(Strict):
    """All that an operator can set."""

    mode: Mode = Mode.PAPER
    """paper: everything simulated; testnet: real prices, ACE's test system; live: real orders."""
    time_zone: Annotated[str, AfterValidator(_check_time_zone)] = "Asia/Taipei"
    """Time zone of logs and of the day's change."""
    binance: BinanceSettings = BinanceSettings()
    """Where market data comes from."""
    ace: AceSettings = AceSettings()
    """The venue that we quote on."""
    paper: PaperSettings = PaperSettings()
    """The simulated outside world of paper mode."""
    rates: Annotated[dict[PairName, RateSettings], EMPTY_IF_NONE] = Field(default_factory=dict)
    """Conversion rates, by pair on ACE."""
    pairs: Annotated[dict[PairName, PairSettings], EMPTY_IF_NONE] = Field(
        min_length=1, examples=[_EXAMPLE_PAIRS]
    )
    """The markets that are quoted, by pair on ACE."""
    risk: KillSettings = KillSettings()
    """When the kill switches of all pairs are thrown at once; money is in TWD."""
    supervision: SupervisionSettings = SupervisionSettings()
    """How the parent watches its children."""
    logs: LogSettings = LogSettings()
    """What happens to old logs."""
    journal: JournalSettings = JournalSettings()
    """What is kept to be replayed."""
    alerts: AlertSettings = AlertSettings()
    """Of what people are told."""
    web: WebSettings = WebSettings()
    """The operator's page and the metrics."""

    @property
    def stream_url(self) -> str | None:
        """Binance's streams; None stands for the simulated ones."""
        default = None if self.mode is Mode.PAPER else BINANCE_STREAM_URL
        return self.binance.stream_url or default

    @property
    def rest_url(self) -> str | None:
        """Binance's REST host; None stands for the simulated one."""
        default = None if self.mode is Mode.PAPER else BINANCE_REST_URL
        return self.binance.rest_url or default

    @property
    def ace_url(self) -> str | None:
        """ACE; None stands for the simulated venue."""
        return self.ace.base_url or (ACE_URL if self.mode is Mode.LIVE else None)

    @property
    def feeds(self) -> dict[str, int]:
        """Binance symbols to be read, each with the levels of order book that its pairs need."""
        feeds: dict[str, int] = {}
        for pair in self.pairs.values():
            for symbol in pair.binance.symbols:
                feeds[symbol] = max(feeds.get(symbol, 0), pair.quote.depth)
        return feeds

    def rate_of(self, pair: Pair) -> Pair | None:
        """The rate that a configured pair's prices are converted by; None: no conversion."""
        rate = self.pairs[pair].rate
        return _AUTO_RATES.get(pair.quote) if rate == AUTO else rate

    def faults(self) -> list[Fault]:
        found = self._venue_faults()
        for pair, settings in self.pairs.items():
            found += self._pair_faults(pair, settings)
        return found

    def _venue_faults(self) -> list[Fault]:
        must = self._address_must()
        return [Fault(("ace", "base_url"), must, (("mode",),))] if must else []

    def _address_must(self) -> str | None:
        """What is wrong with ACE's address in this mode, if anything."""
        if self.ace.base_url is None:
            if self.mode is Mode.TESTNET:
                return "must be given in testnet mode: the address of ACE's test system"
            return None
        if self.mode is not Mode.LIVE:
            if is_public_ace(self.ace.base_url):
                return f"must not be the public exchange in {self.mode.value} mode"
            return None
        parts = split_url(self.ace.base_url)
        if parts and parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
            return "must be https in live mode: orders and their key would travel in the clear"
        return None

    def _pair_faults(self, pair: Pair, settings: PairSettings) -> list[Fault]:
        at = ("pairs", str(pair))
        found = []
        if self.mode is Mode.LIVE and settings.self_trade.enabled:
            found.append(Fault((*at, "self_trade", "enabled"), WASH_TRADING, (("mode",),)))
        if settings.rate == AUTO and pair.quote not in _AUTO_RATES:
            must = f"must be given: auto serves pairs in {' and '.join(_AUTO_RATES)} only"
            return [*found, Fault((*at, "rate"), must)]
        rate = self.rate_of(pair)
        if rate is not None and rate.quote != pair.quote:
            return [*found, Fault((*at, "rate"), f"must be a pair in {pair.quote}, as {pair} is")]
        if rate is not None and rate not in self.rates:
            found.append(
                Fault(
                    (*at, "rate"), f"{rate} must be configured under rates", (("rates", str(rate)),)
                )
            )
        wanted = _sources(settings.binance, pair.base, rate.base if rate else pair.quote)
        if settings.binance not in wanted:
            means = f"with the rate {rate}" if rate else "without a rate"
            must = f"must be {' or '.join(map(str, wanted))}, which gives {pair} its price {means}"
            found.append(Fault((*at, "binance"), must, ((*at, "rate"),)))
        if settings.binance.other is not None and settings.quote.reference is ReferenceKind.VWAP:
            must = "must be top or micro: the costs of hedging a cross are not reckoned"
            found.append(Fault((*at, "quote", "reference"), must, ((*at, "binance"),)))
        return found


def _sources(chosen: Source, base: str, quote: str) -> tuple[Source, ...]:
    """What gives a price of base in quote, by way of the same third currency as `chosen`."""
    by_way_of = chosen.symbol.removeprefix(base)
    if chosen.other is None or by_way_of in (chosen.symbol, "", quote):
        return (Source(base + quote),)
    first = chosen.symbol
    return Source(first, by_way_of + quote), Source(first, quote + by_way_of, divides=True)


def is_public_ace(url: str) -> bool:
    """Whether an address is that of the public exchange, where real people trade."""
    parts = split_url(url)
    return parts is not None and (parts.hostname or "").rstrip(".") in _PUBLIC_ACE_HOSTS


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
