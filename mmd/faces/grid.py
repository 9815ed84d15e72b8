"""A parameter sweep: the same replay at every point of a grid, in processes side by side."""

from __future__ import annotations

import multiprocessing
import signal
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from itertools import product

from mmd.faces.overrides import changed
from mmd.faces.replay import ReplayJob, Report, replay
from mmd.words.errors import ConfigError

MOST_REPLAYS = 10_000
Axes = Mapping[str, tuple[str, ...]]
"""Key of a setting → its values."""


@dataclass(frozen=True)
class Figures:
    """One point of the grid: means over its seeds; money in quote currency, all pairs together."""

    values: tuple[str, ...]
    """Of the axes, in their order."""
    profit: float
    profit_error: float | None
    """Standard error of the mean; None with one seed."""
    spread: float
    adverse: float
    inventory: float
    fees: float
    volume: float
    fills: float
    requests: float
    """Orders and cancels."""
    both_sides: float
    """Share of the time, the least of all pairs."""
    distance_bps: float
    """Best quotes from fair, mean of all pairs."""
    mean_position: float
    """Absolute, in base currency; of the first pair."""
    p95_position: float
    """The same, exceeded in 5 % of the time."""
    drawdown: float
    """Of the profit, its worst fall; of all pairs together at most this."""

    @property
    def captured_bps(self) -> float:
        """Spread net of adverse selection, before fees."""
        return (self.spread + self.adverse) / self.volume * 1e4 if self.volume else 0.0

    @property
    def per_drawdown(self) -> float:
        """Profit for each unit of the worst drawdown."""
        return self.profit / self.drawdown if self.drawdown else 0.0


def parse_axes(texts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Reads `quote.spread_bps=10,15,20`. Raises ConfigError for anything else."""
    axes = {}
    for text in texts:
        key, _, values = text.partition("=")
        chosen = tuple(value.strip() for value in values.split(",") if value.strip())
        if not key.strip() or not chosen:
            raise ConfigError(f"{text!r} is no axis; write it as quote.spread_bps=10,15,20")
        axes[key.strip()] = chosen
    return axes


def sweep(
    job: ReplayJob,
    axes: Axes,
    seeds: int,
    processes: int,
    on_done: Callable[[int, int], None] = lambda _done, _of: None,
) -> list[Figures]:
    """All points in the order of their values. `on_done` hears how many replays of how many are
    done. Raises ConfigError before the first replay for a point that can't be."""
    if len({pair.quote for pair in job.pairs}) > 1:
        raise ConfigError("pairs in different quote currencies can't be added up: say --pair")
    points = list(product(*axes.values()))
    if len(points) * seeds > MOST_REPLAYS:
        raise ConfigError(f"{len(points) * seeds} replays are more than {MOST_REPLAYS}")
    jobs = [
        replace(at_point, seed=job.seed + number)
        for point in points
        for at_point in [_at(job, dict(zip(axes, point, strict=True)))]
        for number in range(seeds)
    ]
    reports = _run_all(jobs, processes, on_done)
    groups = [reports[start : start + seeds] for start in range(0, len(reports), seeds)]
    return [_figures(point, group) for point, group in zip(points, groups, strict=True)]


def _at(job: ReplayJob, changes: Mapping[str, str]) -> ReplayJob:
    return replace(job, settings=changed(job.settings, job.pairs, changes))


def _run_all(
    jobs: Sequence[ReplayJob], processes: int, on_done: Callable[[int, int], None]
) -> list[Report]:
    found: dict[int, Report] = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(jobs)), context, _leave_ctrl_c) as pool:
        waiting = {pool.submit(replay, job): number for number, job in enumerate(jobs)}
        try:
            for future in as_completed(waiting):
                found[waiting[future]] = future.result()
                on_done(len(found), len(jobs))
        finally:
            pool.shutdown(cancel_futures=True)
    return [found[number] for number in range(len(jobs))]


def _leave_ctrl_c() -> None:
    """The parent ends the workers in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _figures(values: tuple[str, ...], reports: Sequence[Report]) -> Figures:
    def mean(of: Callable[[Report], float]) -> float:
        return statistics.fmean(map(of, reports))

    def money(name: str) -> float:
        return mean(lambda report: sum(float(getattr(p.result, name)) for p in report.pairs))

    profits = [sum(float(p.result.profit) for p in report.pairs) for report in reports]
    error = statistics.stdev(profits) / len(profits) ** 0.5 if len(profits) > 1 else None
    return Figures(
        values=values,
        profit=statistics.fmean(profits),
        profit_error=error,
        spread=money("spread"),
        adverse=money("adverse"),
        inventory=money("inventory"),
        fees=money("fees"),
        volume=money("volume"),
        fills=money("fills"),
        requests=mean(lambda report: report.requests["orders"] + report.requests["cancels"]),
        both_sides=mean(lambda report: min(p.both_sides for p in report.pairs)),
        distance_bps=mean(
            lambda report: statistics.fmean(p.distance_bps or 0.0 for p in report.pairs)
        ),
        mean_position=mean(lambda report: report.pairs[0].mean_position),
        p95_position=mean(lambda report: report.pairs[0].p95_position),
        drawdown=mean(lambda report: sum(pair.drawdown for pair in report.pairs)),
    )
