"""The strategy tried out: real workers over a recording, in virtual time."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mmd.config.model import Settings
from mmd.faces import grid_report, replay_report
from mmd.faces.commands.common import EXISTING, PairName, config_option, site
from mmd.faces.grid import parse_axes, sweep
from mmd.faces.overrides import changed, parse
from mmd.faces.replay import INFORMED, TAKES_PER_S, ReplayJob, symbols_in
from mmd.faces.replay import replay as run_replay
from mmd.words.errors import ConfigError
from mmd.words.market import Pair

_SHARE = click.FloatRange(0, 1)


@click.command()
@click.argument("files", type=EXISTING, nargs=-1)
@click.option(
    "--pair", "pairs", type=PairName(), multiple=True, help="Default: all that the files have."
)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    help="How long; FILES again and again. Default: to their end.",
)
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    help="How many times as fast prices move.",
)
@click.option("--seed", type=int, default=1, help="Of chance; without FILES, of the prices too.")
@click.option("--set", "changes", multiple=True, help="A setting, as quote.spread_bps=15.")
@click.option("--grid", "axes", multiple=True, help="An axis, as quote.spread_bps=10,15,20.")
@click.option("--seeds", type=click.IntRange(1), help="Mean over so many seeds.")
@click.option("--jobs", type=click.IntRange(1, 64), default=1, help="Replays side by side.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Of a grid, as SVG.")
@click.option("--markdown", is_flag=True, help="The grid's table for a document.")
@click.option(
    "--takers",
    type=click.FloatRange(min=0),
    default=TAKES_PER_S,
    show_default=True,
    help="Market orders of others a second.",
)
@click.option(
    "--informed",
    type=_SHARE,
    default=INFORMED,
    show_default=True,
    help="Share of them that know the price 10 s ahead.",
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
def replay(
    files: tuple[Path, ...],
    pairs: tuple[Pair, ...],
    minutes: float | None,
    speed: float,
    seed: int,
    changes: tuple[str, ...],
    axes: tuple[str, ...],
    seeds: int | None,
    jobs: int,
    plot: Path | None,
    markdown: bool,
    takers: float,
    informed: float,
    as_json: bool,
    config: Path | None,
) -> None:
    """Run the real workers over recorded FILES, in virtual time, and split up the profit.

    The venue and its other participants are simulated. The same arguments give the same result.
    """
    settings = site(config).settings()
    chosen = pairs or _pairs_of(settings, files)
    unknown = [str(pair) for pair in chosen if pair not in settings.pairs]
    if unknown:
        raise ConfigError(f"not configured: {', '.join(unknown)}")
    job = ReplayJob(
        settings=changed(settings, chosen, parse(changes)),
        pairs=chosen,
        files=files,
        minutes=minutes,
        speed=speed,
        seed=seed,
        takes_per_s=takers,
        informed=informed,
    )
    if plot is not None and not axes:
        raise click.UsageError("--plot shows a grid: say --grid")
    if axes or seeds:
        _sweep(job, parse_axes(axes), seeds or 1, jobs, plot, markdown, as_json)
    elif markdown:
        raise click.UsageError("--markdown shows a grid: say --grid or --seeds")
    else:
        _once(job, as_json)


def _once(job: ReplayJob, as_json: bool) -> None:
    began_s = time.monotonic()
    report = run_replay(job)
    took_s = max(time.monotonic() - began_s, 1e-9)
    if as_json:
        click.echo(json.dumps(replay_report.to_json(report), indent=2))
        return
    console = Console()
    console.print(replay_report.render(report))
    speed = report.pairs[0].seconds / took_s
    console.print(f"Took {took_s:.1f} s: {speed:.0f} times as fast as real time.")


def _sweep(
    job: ReplayJob,
    axes: dict[str, tuple[str, ...]],
    seeds: int,
    jobs: int,
    plot: Path | None,
    markdown: bool,
    as_json: bool,
) -> None:
    with Progress(
        TextColumn("replays"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        task = progress.add_task("replays", total=None)
        found = sweep(
            job, axes, seeds, jobs, lambda done, of: progress.update(task, completed=done, total=of)
        )
    if plot is not None:
        plot.write_text(grid_report.plot(axes, found, job.pairs[0].quote))
    if as_json:
        click.echo(json.dumps(grid_report.to_json(axes, found), indent=2))
    elif markdown:
        click.echo(grid_report.markdown(axes, found), nl=False)
    else:
        Console().print(grid_report.render(axes, found))


def _pairs_of(settings: Settings, files: tuple[Path, ...]) -> tuple[Pair, ...]:
    """The configured pairs whose symbols the files have; all of them without files."""
    if not files:
        return tuple(settings.pairs)
    known = set(symbols_in(files))
    found = tuple(
        pair for pair, chosen in settings.pairs.items() if known >= set(chosen.binance.symbols)
    )
    if not found:
        raise ConfigError(f"no configured pair follows any of {', '.join(sorted(known))}")
    return found
