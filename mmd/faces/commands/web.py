"""The operator's page."""

from __future__ import annotations

from pathlib import Path

import click

from mmd.config.secrets import load_web_token
from mmd.faces.commands.common import config_option, site
from mmd.words.errors import ConfigError, Unavailable


@click.command()
@config_option
def web(config: Path | None) -> None:
    """Where the page is."""
    chosen = site(config)
    settings = chosen.settings()
    if not settings.web.enabled:
        raise ConfigError("the page is off: set web.enabled: true in conf/pairs.yaml, mmd reload")
    token = load_web_token(settings, chosen.paths, chosen.environ)
    try:
        click.echo(chosen.paths.web_address.read_text().strip())
    except FileNotFoundError:
        raise Unavailable("the page is not served, because mmd does not run: mmd start") from None
    if token:
        click.echo("It asks for the token: the value of MMD_WEB_TOKEN.")
