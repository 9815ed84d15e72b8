"""Commands to the running parent; supervisorctl gives the same."""

from __future__ import annotations

import os
import sys

import click

from mmd.config.paths import Paths
from mmd.supervision.control import command as command_parent
from mmd.words.errors import Exit


def _command(do: str, name: str) -> None:
    reply = command_parent(Paths.default(os.environ).control_socket, do, [name])
    click.echo(reply["text"], err=not reply["ok"])
    if not reply["ok"]:
        sys.exit(Exit.FAILED)


@click.command()
@click.argument("name")
def pause(name: str) -> None:
    """Pull a pair's quotes and keep them away; its process stays."""
    _command("pause", name)


@click.command()
@click.argument("name")
def resume(name: str) -> None:
    """Let a paused pair quote again."""
    _command("resume", name)


@click.command()
@click.argument("name")
def restart(name: str) -> None:
    """Restart a feed, rate, pair or job."""
    _command("restart", name)


@click.command()
def reload() -> None:
    """Read the configuration anew; only what changed is touched."""
    reply = command_parent(Paths.default(os.environ).control_socket, "reload")
    if not reply["ok"]:
        click.echo(f"refused, nothing has changed:\n{reply['text']}", err=True)
        sys.exit(Exit.CONFIG)
    click.echo(reply["text"])
