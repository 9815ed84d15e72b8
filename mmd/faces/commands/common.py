"""What several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from mmd.config.paths import Paths
from mmd.faces.site import Site
from mmd.words.market import Pair

PIPE_COLUMNS = 160
EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)


class PairName(click.ParamType[Pair]):
    """`BTC/TWD` or `btc_twd`."""

    name = "pair"

    def convert(self, value: Any, param: Any, ctx: Any) -> Pair:
        try:
            return value if isinstance(value, Pair) else Pair.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def config_option(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--config", type=EXISTING, envvar="MMD_CONFIG", help="Default: conf/pairs.yaml."
    )(function)


def replay_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--replay FILE…`: one or several files behind it, and it may be given again."""

    @wraps(function)
    def with_all(*args: Any, replay: tuple[Path, ...], more: tuple[Path, ...], **rest: Any) -> Any:
        if more and not replay:
            raise click.UsageError(f"unexpected argument {more[0]}; recordings follow --replay")
        return function(*args, replay=(*replay, *more), **rest)

    with_all = click.argument("more", metavar="", type=EXISTING, nargs=-1)(with_all)
    return click.option(
        "--replay",
        metavar="FILE...",
        type=EXISTING,
        multiple=True,
        help="Recorded streams instead of a made-up market.",
    )(with_all)


def site(config: Path | None = None) -> Site:
    """The installation that this process belongs to."""
    paths = Paths.default(os.environ)
    return Site(paths, (config or paths.pairs_yaml).absolute(), os.environ)


def terminal() -> Console:
    """A terminal as it is; a file or a pipe as wide as need be."""
    console = Console()
    return console if console.is_terminal else Console(width=PIPE_COLUMNS)
