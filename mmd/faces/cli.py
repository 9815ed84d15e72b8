"""The command line. Each command lies in a module of `mmd.faces.commands`."""

from __future__ import annotations

import importlib
import sys

import click

import mmd
from mmd.words.errors import Exit, MmdError

COMMANDS = {
    "start": "service",
    "stop": "service",
    "status": "look",
    "explain": "look",
    "logs": "logs",
    "web": "web",
    "pause": "control",
    "resume": "control",
    "restart": "control",
    "reload": "control",
    "cancel": "orders",
    "trades": "results",
    "pnl": "results",
    "check": "check",
    "doctor": "doctor",
    "notify": "notify",
    "run": "parent",
    "pair": "parent",
    "record": "record",
    "replay": "replay",
    "sim": "sim",
}
"""Command → module, in the order that a user meets them."""


class _Commands(click.Group):
    """Loads the module of a command, and of no other, when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"mmd.faces.commands.{COMMANDS[cmd_name]}")
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(mmd.__version__, prog_name="mmd")
def cli() -> None:
    """mmd quotes both sides of ACE's order books around Binance's price."""


def main() -> None:
    """Runs a command; what mmd raises on purpose ends as one clear message and an exit code."""
    try:
        cli()
    except MmdError as error:
        _fail(str(error), error.exit_code)


def _fail(text: str, code: Exit) -> None:
    click.echo(f"mmd: {text}", err=True)
    sys.exit(code)
