"""What CI makes of what is known against the dependencies."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT

FINE = {"name": "aiohttp", "version": "1.0", "vulns": []}
BAD = FINE | {"vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"], "aliases": []}]}
UNKNOWN = {"name": "mmd", "skip_reason": "not found"}


def _audit(folder: Path, found: str) -> tuple[int, str]:
    program = folder / "pip-audit"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{found}\nEND\nexit 1\n")
    program.chmod(0o755)
    done = subprocess.run(
        [ROOT / ".ci" / "audit"],
        env=os.environ | {"AUDIT": str(program)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    ("found", "code", "word"),
    [
        (json.dumps({"dependencies": [FINE, UNKNOWN]}), 0, "nothing is known against 1 packages"),
        (json.dumps({"dependencies": [FINE, BAD]}), 1, "aiohttp 1.0: PYSEC-1, mended in 1.1"),
        (json.dumps({"dependencies": [UNKNOWN]}), 0, "skipped: the index"),
        ("no connection", 0, "skipped: the index"),
    ],
    ids=["clean", "vulnerable", "unknown", "offline"],
)
def test_only_a_known_vulnerability_fails_the_run(
    tmp_path: Path, found: str, code: int, word: str
) -> None:
    ended, said = _audit(tmp_path, found)
    assert ended == code
    assert word in said
