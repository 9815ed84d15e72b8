"""Run-time files: where they lie, who may see them, and what is too long for a socket."""

from __future__ import annotations

import multiprocessing
import os
import re
import stat
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from mmd.config.paths import PACKAGE, SOCKET_PATH_BYTES, Paths, project_root
from mmd.words.errors import ConfigError
from mmd.words.market import Pair


def test_home_is_var_beside_conf_unless_the_environment_names_another(tmp_path: Path) -> None:
    root = PACKAGE.parent
    assert project_root() == root
    assert Paths.default({}).home == root / "var"
    named = Paths.default({"MMD_HOME": str(tmp_path)})
    assert named.home == tmp_path
    assert named.conf == Paths.default({}).conf == root / "conf"


def test_a_relative_home_does_not_move_with_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    paths = Paths.default({"MMD_HOME": "run-here"})
    monkeypatch.chdir("/")
    assert paths.home == tmp_path / "run-here"


def test_without_a_project_around_the_package_the_current_folder_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmd.config.paths.PACKAGE", tmp_path / "site-packages" / "mmd")
    monkeypatch.chdir(tmp_path)
    assert Paths.default({}).conf == tmp_path / "conf"


def test_make_creates_the_folders_with_run_for_our_eyes_only(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "a" / "var")
    paths.make()
    paths.run.chmod(0o755)
    paths.make()
    assert stat.S_IMODE(paths.run.stat().st_mode) == 0o700
    assert paths.log.is_dir()
    assert paths.records.is_dir()
    assert paths.pair_lock(Pair("BTC", "TWD")) == paths.run / "btc_twd.lock"


def test_a_home_that_can_not_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="set MMD_HOME"):
        Paths(tmp_path / "file" / "var").make()


def test_a_socket_path_may_be_as_long_as_the_system_lets_it_be_and_no_longer() -> None:
    """supervisord's own way to bind counts: `<socket>.<pid>` comes first."""
    tail = len("/run/supervisor.sock.4194304")
    longest = Path("/" + "h" * (SOCKET_PATH_BYTES - tail - 1))
    Paths(longest).check_sockets()
    with pytest.raises(ConfigError, match="too long for the sockets in it by 1 bytes"):
        Paths(longest.with_name(longest.name + "h")).make()
    wide = Paths(longest.with_name("é" * len(longest.name)))
    with pytest.raises(ConfigError, match="too long"):
        wide.check_sockets()


def test_the_instance_number_is_made_once_and_kept(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "var")
    number = paths.instance()
    assert re.fullmatch("[0-9a-z]{6}", number)
    assert Paths(tmp_path / "var").instance() == number
    assert os.listdir(paths.home) == ["instance"]
    assert Paths(tmp_path / "other").instance() != number


@pytest.mark.parametrize("text", ["", "ABCDEF", "abc", "abcdefg", "abc def", "é" * 6])
def test_an_instance_file_that_holds_something_else_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "instance").write_text(text)
    with pytest.raises(ConfigError, match="must hold 6 of 0-9 and a-z"):
        Paths(tmp_path).instance()


def _ask(home: Path, start: Barrier, answer: multiprocessing.SimpleQueue[str]) -> None:
    start.wait()
    answer.put(Paths(home).instance())


def test_processes_that_ask_together_for_the_first_time_get_one_number(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    start, answer = context.Barrier(6), context.SimpleQueue()
    children = [context.Process(target=_ask, args=(tmp_path, start, answer)) for _ in range(6)]
    for child in children:
        child.start()
    numbers = {answer.get() for _ in children}
    for child in children:
        child.join()
        child.close()
    assert len(numbers) == 1
