"""The key: where it comes from, who may read it, and that it never shows."""

from __future__ import annotations

import copy
import dataclasses
import logging
import pickle
import re
import traceback
from pathlib import Path

import pytest

from mmd.config.model import Settings
from mmd.config.paths import Paths
from mmd.config.secrets import PAPER_KEY, AceKey, load_key
from mmd.words.errors import ConfigError, Exit
from tests.config.samples import settings_of

KEY = AceKey("key-of-mine", "hunter2")
LINES = "# of the desk\nexport ACE_API_KEY=key-of-mine\n\nACE_API_SECRET = 'hunter2'\n"


def _file(path: Path, text: str, mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.fixture
def live() -> Settings:
    return settings_of(mode="live")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "var")


def test_paper_mode_needs_no_key(paths: Paths) -> None:
    environ = {"ACE_API_KEY": "a", "ACE_API_SECRET": "b"}
    assert load_key(settings_of(), paths, environ) == PAPER_KEY == AceKey("paper", "paper-secret")


@pytest.mark.parametrize("mode", ["testnet", "live"])
def test_the_environment_counts_before_the_file(paths: Paths, mode: str) -> None:
    _file(paths.conf / "secrets.env", LINES.replace("mine", "another"))
    settings = settings_of(mode=mode, ace={"base_url": "https://test.example"})
    environ = {"ACE_API_KEY": "key-of-mine", "ACE_API_SECRET": "hunter2"}
    assert load_key(settings, paths, environ) == KEY


def test_the_file_beside_the_configuration_is_found(live: Settings, paths: Paths) -> None:
    _file(paths.conf / "secrets.env", LINES)
    assert load_key(live, paths, {}) == KEY


def test_another_file_can_be_named(live: Settings, paths: Paths, tmp_path: Path) -> None:
    path = _file(tmp_path / "elsewhere" / "key", LINES, 0o400)
    assert load_key(live, paths, {"ACE_KEY_FILE": str(path)}) == KEY


def test_a_named_file_that_is_missing_is_told(live: Settings, paths: Paths) -> None:
    _file(paths.conf / "secrets.env", LINES)
    with pytest.raises(ConfigError, match="/none: can't be read: No such file"):
        load_key(live, paths, {"ACE_KEY_FILE": "/none"})


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o601, 0o777])
def test_a_file_that_others_may_touch_is_refused_with_the_remedy(
    live: Settings, paths: Paths, mode: int
) -> None:
    path = _file(paths.conf / "secrets.env", LINES, mode)
    remedy = f"mode {mode:04o} lets others read the key; run: chmod 600 {path}"
    with pytest.raises(ConfigError, match=re.escape(remedy)):
        load_key(live, paths, {})


def test_a_missing_key_is_told_with_every_way_to_give_it(live: Settings, paths: Paths) -> None:
    with pytest.raises(ConfigError) as caught:
        load_key(live, paths, {})
    assert caught.value.exit_code is Exit.CONFIG
    for word in ("live", "ACE_API_KEY", "ACE_API_SECRET", "ACE_KEY_FILE", "secrets.env", "0600"):
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("environ", "text", "problem"),
    [
        ({"ACE_API_KEY": "a"}, LINES, "the environment: ACE_API_SECRET missing"),
        ({"ACE_API_SECRET": "hunter2"}, LINES, "the environment: ACE_API_KEY missing"),
        ({}, "ACE_API_KEY=a\nACE_API_SECRET=\n", "secrets.env: ACE_API_SECRET missing"),
        ({}, "", "ACE_API_KEY and ACE_API_SECRET missing"),
        ({}, "ACE_API_KEY=a\nhunter2\n", "secrets.env:2: must be KEY=VALUE"),
    ],
)
def test_half_a_key_is_told_without_showing_it(
    live: Settings, paths: Paths, environ: dict[str, str], text: str, problem: str
) -> None:
    _file(paths.conf / "secrets.env", text)
    with pytest.raises(ConfigError, match=problem) as caught:
        load_key(live, paths, environ)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_a_file_that_is_no_text_is_told(live: Settings, paths: Paths) -> None:
    path = _file(paths.conf / "secrets.env", "")
    path.write_bytes(b"ACE_API_KEY=\xff\xfe")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        load_key(live, paths, {})


@dataclasses.dataclass
class _Holder:
    key: AceKey


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        "{}".format,
        "{!r:>40}".format,
        lambda key: f"{key!s:>40}",
        lambda key: "%s %r" % (key, key),  # noqa: UP031
        lambda key: repr([key, {"key": key}]),
        lambda key: repr(_Holder(key)),
        lambda key: repr(dataclasses.asdict(_Holder(key))),
        lambda key: repr(copy.deepcopy(key)),
        lambda key: logging.makeLogRecord({"msg": "%s", "args": (key,)}).getMessage(),
    ],
)
def test_the_key_is_masked_wherever_it_is_shown(show) -> None:  # type: ignore[no-untyped-def]
    shown = show(KEY)
    assert "AceKey(masked)" in shown
    assert "hunter2" not in shown
    assert "key-of-mine" not in shown


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_the_key_is_never_pickled(protocol: int) -> None:
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(_Holder(KEY), protocol)


def test_the_key_can_not_be_changed() -> None:
    with pytest.raises(AttributeError):
        KEY.secret = "other"
    with pytest.raises(AttributeError):
        KEY.other = "x"  # type: ignore[attr-defined]
    assert AceKey("key-of-mine", "other") != KEY
    assert hash(AceKey("key-of-mine", "hunter2")) == hash(KEY)
