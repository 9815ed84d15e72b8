"""What all tests share: where recordings lie, and a watch that nothing is left behind."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest
from xdist.remote import Producer

from tests.schedule import Schedule, computes, gently, in_turns

ROOT = Path(__file__).parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items[:] = [items[number] for number in in_turns([item.nodeid for item in items])]


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not computes(pyfuncitem.nodeid):
        return None
    wanted = pyfuncitem._fixtureinfo.argnames
    gently(partial(pyfuncitem.obj, **{name: pyfuncitem.funcargs[name] for name in wanted}))
    return True


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Schedule:
    return Schedule(config, log)


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of recorded Binance streams; the test is skipped where it is absent."""
    folder = Path(os.environ.get("MMD_DATA", ROOT.parent / "shared" / "data"))
    if not any(folder.glob("*usdt_*.gz")):
        pytest.skip(f"no recorded streams in {folder} (set MMD_DATA)")
    return folder


def _segments() -> set[str]:
    return {name for name in os.listdir("/dev/shm") if name.startswith("mmd-")}


def _mapped_segments() -> set[str]:
    maps = Path("/proc/self/maps").read_text()
    return set(re.findall(r"/dev/shm/(mmd-\S+)", maps))


def _children() -> set[psutil.Process]:
    """This process's children and theirs. The kernel's own list is asked first: the common case,
    that there are none, must cost next to nothing."""
    if not any(map(_has_children, Path("/proc/self/task").iterdir())):
        return set()
    return set(psutil.Process().children(recursive=True))


def _has_children(task: Path) -> bool:
    try:
        return bool((task / "children").read_text())
    except (
        FileNotFoundError,
        ProcessLookupError,
    ):  # the thread has ended; none of its own are left
        return False


def _is_tracker(process: psutil.Process) -> bool:
    try:
        return "resource_tracker" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return True


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fails a test that leaves a child process or a segment of its own behind.

    Segments are told apart by the processes that map them, since tests run side by side.
    """
    before = _children()
    segments = _segments()
    yield
    left = [p for p in _children() - before if not _is_tracker(p)]
    _, alive = psutil.wait_procs(left, timeout=2)
    for process in alive:
        process.kill()
    assert not alive, f"processes left behind: {alive}"
    assert not (_mapped_segments() & (_segments() - segments)), "shared-memory segments left behind"
