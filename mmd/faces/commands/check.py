"""Whether mmd could start now."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click
from rich.console import Console

from mmd.config.shape import schema
from mmd.faces import probes
from mmd.faces.check import check as check_all
from mmd.faces.commands.common import config_option, site


@click.command()
@config_option
@click.option("--schema", "print_schema", is_flag=True, help="JSON schema for editors.")
def check(config: Path | None, print_schema: bool) -> None:
    """Configuration, key, clock and venues: all errors at once."""
    if print_schema:
        click.echo(json.dumps(schema(), indent=2))
        return
    chosen = site(config)
    sys.exit(check_all(chosen.config, chosen.paths, os.environ, Console(), probes.make()))
