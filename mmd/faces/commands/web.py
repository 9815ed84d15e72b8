"""The operator's page."""

from __future__ import annotations

import time
from pathlib import Path

import click

from mmd.config.paths import Paths
from mmd.config.secrets import load_web_token
from mmd.faces.commands.common import config_option, site
from mmd.faces.sight import sight
from mmd.processes.sight import UP
from mmd.words.errors import ConfigError, Unavailable

NAME = "jobs:web"
_LOOK_EVERY_S = 0.05
PATIENCE_S = 5.0
"""Longer than the page takes to start."""


@click.command()
@config_option
def web(config: Path | None) -> None:
    """Where the page is."""
    chosen = site(config)
    seen = sight(chosen.paths)
    if seen.parent_state != "running":
        raise Unavailable("the page is not served, because mmd does not run: mmd start --web")
    states = {process.name: process.state for process in seen.processes}
    if NAME not in states:
        raise ConfigError(
            "the page is off: set web.enabled: true in conf/pairs.yaml, then mmd reload"
        )
    address = page_address(chosen.paths, PATIENCE_S)
    if address is None:
        raise Unavailable(f"the page is not served: {NAME} is {states[NAME]}; see mmd logs")
    click.echo(address)
    if load_web_token(chosen.settings(), chosen.paths, chosen.environ):
        click.echo("It asks for the token: the value of MMD_WEB_TOKEN.")


def page_address(paths: Paths, patience_s: float = 0) -> str | None:
    """Where the page is served now; None where it is not. A page that is just starting is waited
    for."""
    until_s = time.monotonic() + patience_s
    while True:
        states = [p.state for p in sight(paths).processes if p.name == NAME]
        if states and states[0] in UP and paths.web_address.exists():
            return paths.web_address.read_text().strip()
        if states != ["starting"] or time.monotonic() >= until_s:
            return None
        time.sleep(_LOOK_EVERY_S)
