"""Metrics for Prometheus, from the cells and the status block alone.

Names follow https://prometheus.io/docs/practices/naming: base units, `_total` for counters.
Money stays in the currency of the pair, which is a label.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from mmd.cells.layouts import QuoteState
from mmd.processes.sight import UP, Process, Sight
from mmd.words.market import Pair

CONTENT_TYPE = CONTENT_TYPE_LATEST
STATES = ("stopped", "backing_off", "starting", "ready", "running", "stalled", "stopping", "parked")
_MB = 1 << 20


def render(sight: Sight) -> bytes:
    """The text that Prometheus reads."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Seen(sight))
    return generate_latest(registry)


class _Seen(Collector):
    def __init__(self, sight: Sight) -> None:
        self._sight = sight

    def collect(self) -> Iterator[Metric]:
        sight = self._sight
        is_up = sight.parent_state == "running"
        yield GaugeMetricFamily("mmd_up", "1 while the parent runs and answers.", int(is_up))
        yield GaugeMetricFamily(
            "mmd_start_time_seconds", "When the parent started.", sight.parent_since_s
        )
        yield from _processes(sight)
        yield from _books(sight)
        yield from _pairs(sight)


def _processes(sight: Sight) -> Iterator[Metric]:
    label = ["process"]
    up = GaugeMetricFamily("mmd_process_up", "1 while the process does its job.", labels=label)
    state = GaugeMetricFamily(
        "mmd_process_state", "1 for the state that the process is in.", labels=["process", "state"]
    )
    start = GaugeMetricFamily(
        "mmd_process_start_time_seconds", "When the process started, or died.", labels=label
    )
    restarts = CounterMetricFamily("mmd_process_restarts", "Restarts.", labels=label)
    memory = GaugeMetricFamily(
        "mmd_process_resident_memory_bytes", "Resident memory without mapped files.", labels=label
    )
    beat = GaugeMetricFamily(
        "mmd_process_heartbeat_age_seconds", "Time since the last heartbeat.", labels=label
    )
    errors = CounterMetricFamily("mmd_process_errors", "Errors counted.", labels=label)
    overflows = CounterMetricFamily("mmd_process_overflows", "Overflows counted.", labels=label)
    for process in sight.processes:
        name, health = [process.name], sight.health_of(process)
        up.add_metric(name, int(process.state in UP))
        for one in STATES:
            state.add_metric([process.name, one], int(process.state == one))
        start.add_metric(name, process.since_s)
        restarts.add_metric(name, process.restarts)
        memory.add_metric(name, round(process.memory_mb * _MB))
        if process.pid and health.pid == process.pid:
            beat.add_metric(name, _seconds(sight.now_ns - health.heartbeat_ns))
        errors.add_metric(name, health.errors)
        overflows.add_metric(name, health.overflows)
    yield from (up, state, start, restarts, memory, beat, errors, overflows)


def _books(sight: Sight) -> Iterator[Metric]:
    label = ["book"]
    valid = GaugeMetricFamily("mmd_book_valid", "1 while the book's prices hold.", labels=label)
    price = GaugeMetricFamily(
        "mmd_book_price", "Best price; absent while it does not hold.", labels=["book", "side"]
    )
    age = GaugeMetricFamily(
        "mmd_book_age_seconds", "Time since the price was last confirmed.", labels=label
    )
    lag = GaugeMetricFamily(
        "mmd_book_lag_seconds", "How much later than at best messages arrive.", labels=label
    )
    messages = CounterMetricFamily("mmd_book_messages", "Messages received.", labels=label)
    trades = CounterMetricFamily("mmd_book_trades", "Trades counted.", labels=label)
    volume = CounterMetricFamily(
        "mmd_book_volume", "Traded quantity, in base currency.", labels=label
    )
    for process in (*sight.group("feeds"), *sight.group("rates")):
        name, book = [process.member], sight.book_of(process)
        valid.add_metric(name, int(book.is_valid))
        if book.is_valid:
            price.add_metric([*name, "bid"], book.bid_price)
            price.add_metric([*name, "ask"], book.ask_price)
        if book.last_frame_ns:
            age.add_metric(name, _seconds(book.age_ns(sight.now_ns)))
        if process.group == "feeds":
            lag.add_metric(name, sight.health_of(process).lag_ms / 1000)
        messages.add_metric(name, sight.health_of(process).messages)
        trades.add_metric(name, book.trade_count)
        volume.add_metric(name, float(book.volume))
    yield from (valid, price, age, lag, messages, trades, volume)


def _pairs(sight: Sight) -> Iterator[Metric]:
    gauges = {
        "position": ("mmd_pair_position", "Base currency held, from our fills."),
        "pnl": ("mmd_pair_profit", "Realised and unrealised profit, in quote currency."),
        "open_orders": ("mmd_pair_open_orders", "Orders of ours that rest on the venue."),
        "paused": ("mmd_pair_paused", "1 while the pair is paused."),
    }
    counters = {
        "fills": ("mmd_pair_fills", "Fills."),
        "requests": ("mmd_pair_requests", "Requests to the venue since the process started."),
    }
    pairs = [(_pair_name(p), sight.quotes_of(p)) for p in sight.group("pairs")]
    for field, (name, text) in gauges.items():
        gauge = GaugeMetricFamily(name, text, labels=["pair"])
        for pair, quotes in pairs:
            gauge.add_metric([pair], getattr(quotes, field))
        yield gauge
    for field, (name, text) in counters.items():
        counter = CounterMetricFamily(name, text, labels=["pair"])
        for pair, quotes in pairs:
            counter.add_metric([pair], getattr(quotes, field))
        yield counter
    yield _sides("mmd_pair_reference_price", "Fair price, in quote currency.", _references(pairs))
    yield _sides("mmd_pair_quote_price", "Our best price on the venue.", _quotes(pairs))
    age = GaugeMetricFamily(
        "mmd_pair_price_age_seconds", "Age of the price that is quoted on.", labels=["pair"]
    )
    for pair, quotes in pairs:
        if quotes.price_age_ms >= 0:
            age.add_metric([pair], quotes.price_age_ms / 1000)
    yield age


def _references(pairs: Iterable[tuple[str, QuoteState]]) -> Iterator[tuple[str, float, float]]:
    return ((pair, q.reference_bid, q.reference_ask) for pair, q in pairs)


def _quotes(pairs: Iterable[tuple[str, QuoteState]]) -> Iterator[tuple[str, float, float]]:
    return ((pair, q.best_bid, q.best_ask) for pair, q in pairs)


def _sides(name: str, text: str, prices: Iterable[tuple[str, float, float]]) -> Metric:
    """A price for each side; absent where there is none."""
    gauge = GaugeMetricFamily(name, text, labels=["pair", "side"])
    for pair, bid, ask in prices:
        for side, price in (("bid", bid), ("ask", ask)):
            if price:
                gauge.add_metric([pair, side], price)
    return gauge


def _pair_name(process: Process) -> str:
    return str(Pair.parse(process.member))


def _seconds(ns: int) -> float:
    return max(0, ns) / 1e9
