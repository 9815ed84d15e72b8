"""Alerts to people."""

from __future__ import annotations

import os
import sys

import click

from mmd.config.secrets import load_alert_targets
from mmd.faces import notify as notifying
from mmd.faces.commands.common import site
from mmd.processes.notifier.channels import channels
from mmd.words.errors import ConfigError, Exit


@click.group()
def notify() -> None:
    """Alerts to people."""


@notify.command()
def test() -> None:
    """Send a test message to every address, and say which took it."""
    found = channels(load_alert_targets(site().paths, os.environ))
    if not found:
        raise ConfigError(notifying.NOBODY)
    results = notifying.test(found)
    for name, fault in results:
        click.echo(f"{name}: {fault or 'took the message'}")
    if any(fault for _, fault in results):
        sys.exit(Exit.UNREACHABLE)
