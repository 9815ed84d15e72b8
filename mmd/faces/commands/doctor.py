"""What may be wrong around mmd."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
from rich.console import Console

from mmd.faces import doctor as doctoring
from mmd.faces import probes
from mmd.faces.commands.common import config_option, site


@click.command()
@config_option
def doctor(config: Path | None) -> None:
    """Clock, network, disk, keys, limits, leftovers: what is wrong, and the remedy."""
    chosen = site(config)
    sys.exit(doctoring.doctor(chosen.config, chosen.paths, os.environ, Console(), probes.make()))
