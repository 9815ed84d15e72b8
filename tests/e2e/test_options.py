"""How options are written."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from mmd.faces.commands.common import replay_option


@click.command()
@replay_option
def show(replay: tuple[Path, ...]) -> None:
    click.echo(" ".join(path.name for path in replay))


@pytest.mark.parametrize(
    "arguments",
    [["--replay", "a", "b", "c"], ["--replay", "a", "--replay", "b", "c"]],
)
def test_several_recordings_follow_one_replay_or_several(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in "abc":
        Path(name).touch()
    assert CliRunner().invoke(show, arguments).output == "a b c\n"
