"""Metrics: valid for Prometheus, named by its conventions, and there while workers are stuck."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mmd.cells.layouts import BookState, BookStatus
from mmd.processes.sight import Process, Sight
from mmd.processes.web import metrics
from tests.web.conftest import seen


def _samples(sight: Sight) -> dict[tuple[str, tuple[str, ...]], float]:
    text = metrics.render(sight).decode()
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_what_is_seen_is_what_is_measured() -> None:
    samples = _samples(seen())
    assert samples["mmd_up", ()] == 1
    assert samples["mmd_process_up", ("pairs:btc_twd",)] == 1
    assert samples["mmd_process_state", ("pairs:btc_twd", "running")] == 1
    assert samples["mmd_process_state", ("pairs:btc_twd", "parked")] == 0
    assert samples["mmd_process_resident_memory_bytes", ("pairs:btc_twd",)] == 42.5 * 2**20
    assert samples["mmd_process_errors_total", ("pairs:btc_twd",)] == 3
    assert samples["mmd_book_price", ("btcusdt", "ask")] == 61001
    assert samples["mmd_book_lag_seconds", ("btcusdt",)] == 0
    assert ("mmd_book_lag_seconds", ("usdt_twd",)) not in samples, (
        "ACE is asked, it does not stream"
    )
    assert samples["mmd_pair_reference_price", ("BTC/TWD", "bid")] == 1_970_000
    assert samples["mmd_pair_quote_price", ("BTC/TWD", "ask")] == 1_976_000.5
    assert samples["mmd_pair_position", ("BTC/TWD",)] == -0.0123
    assert samples["mmd_pair_profit", ("BTC/TWD",)] == 1234.5
    assert samples["mmd_pair_price_age_seconds", ("BTC/TWD",)] == 0.012
    assert samples["mmd_pair_fills_total", ("BTC/TWD",)] == 7


def test_a_price_that_does_not_hold_is_absent() -> None:
    sight = seen()
    gone = BookState(status=BookStatus.DISCONNECTED, bid_price=61000.0, ask_price=61001.0)
    quotes = {"btc_twd": sight.quotes["btc_twd"]._replace(best_bid=0.0, price_age_ms=-1)}
    samples = _samples(replace(sight, books={"btcusdt": gone}, quotes=quotes))
    assert samples["mmd_book_valid", ("btcusdt",)] == 0
    assert ("mmd_book_price", ("btcusdt", "bid")) not in samples
    assert ("mmd_pair_quote_price", ("BTC/TWD", "bid")) not in samples
    assert ("mmd_pair_quote_price", ("BTC/TWD", "ask")) in samples
    assert ("mmd_pair_price_age_seconds", ("BTC/TWD",)) not in samples


def test_names_follow_the_conventions() -> None:
    text = metrics.render(seen()).decode()
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    helps = dict(re.findall(r"^# HELP (\S+) (.+)$", text, re.MULTILINE))
    assert len(kinds) > 20
    for name, kind in kinds.items():
        assert re.fullmatch(r"mmd_[a-z_]+", name)
        assert name.endswith("_total") == (kind == "counter")
        assert not re.search(r"_(ms|mb|milliseconds|percent|count)$", name)
        assert helps[name].endswith(".")


@pytest.mark.parametrize("state", ["stopped", "dead", "silent"])
def test_it_answers_when_nothing_runs(state: str) -> None:
    sight = Sight(now_ns=1, wall_s=1.0, parent_state=state)
    assert _samples(sight)["mmd_up", ()] == 0


def test_a_dead_process_has_no_heartbeat_but_a_state() -> None:
    dead = Process("feeds:btcusdt", 0, "backing_off", 1.0, 4, "killed by SIGKILL")
    samples = _samples(replace(seen(), processes=(dead,)))
    assert samples["mmd_process_up", ("feeds:btcusdt",)] == 0
    assert samples["mmd_process_restarts_total", ("feeds:btcusdt",)] == 4
    assert not any(name == "mmd_process_heartbeat_age_seconds" for name, _ in samples)
