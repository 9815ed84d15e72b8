"""What the documents tell a user to type works as it stands there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import click
import pytest

from mmd.config.reference import reference
from mmd.faces.cli import cli
from tests.e2e.conftest import ROOT, House, house

__all__ = ["house"]
DOCUMENTS = [ROOT / "README.md", ROOT / "README.zh-TW.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
MENTION = re.compile(r"bin/mmd ([a-z]+)((?: [a-z]+)?)")
FILE = re.compile(r"`((?:mmd|conf|contrib|bin|chaos|bench|tests)/[\w./*-]+)`")
RUN_IN_FULL = ["quickstart.md", "operations.md"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_that_is_mentioned_exists(document: Path) -> None:
    context = click.Context(cli)
    for name, second in MENTION.findall(document.read_text()):
        command = cli.get_command(context, name)
        assert command is not None, f"mmd {name}"
        if isinstance(command, click.Group):
            assert command.get_command(context, second.strip()), f"mmd {name}{second}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_to_a_file_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_of_the_project_that_is_named_is_there(document: Path) -> None:
    for name in set(FILE.findall(document.read_text())) - {"conf/secrets.env"}:
        assert list(ROOT.glob(name)), name


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", RUN_IN_FULL)
def test_the_commands_of_a_document_work_one_after_the_other(name: str, house: House) -> None:
    house.configure(web={"port": 0})
    text = (ROOT / "docs" / name).read_text()
    for block in BLOCK.findall(text):
        script = block.replace("conf/supervisord.conf", '"$MMD_HOME/supervisord.conf"')
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", script],
            cwd=ROOT,
            env=house.environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    house.run("stop")
    assert house.leftovers() == []


def test_the_configuration_reference_is_what_the_models_say() -> None:
    written = (ROOT / "docs/configuration.md").read_text()
    assert written == reference(), (
        "run: .venv/bin/python -m mmd.config.reference >docs/configuration.md"
    )
