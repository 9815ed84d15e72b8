"""The notifier process: what stands on the spool reaches people, whatever dies or hangs."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from mmd.cells.layouts import BookState, BookStatus
from mmd.config.model import AlertSettings
from mmd.config.risk import KillLevel
from mmd.config.secrets import AlertTargets, Secret
from mmd.decide.killswitch import Thrown
from mmd.faces import notify
from mmd.processes import notifier
from mmd.processes.notifier.channels import channels
from mmd.processes.sight import Process, Sight
from mmd.records import killed
from mmd.records.alerts import Kind, Spool
from mmd.words.errors import ConfigError
from tests.ace_processes.conftest import House, house
from tests.alerts.receiver import Receiver, receiver, wait_until

__all__ = ["house"]

TOKEN = "s3cr3t-t0k3n-in-the-address"
SETTINGS = AlertSettings(group_s=0, pause_s=0, stale_price_s=1)


@pytest.fixture
def webhook() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


@pytest.fixture
def service() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


def _sight(state: str = "silent") -> Sight:
    """Nothing to see, so the watchman has no say."""
    return Sight(time.monotonic_ns(), time.time(), parent_state=state)


def _job(
    webhook: Receiver | int | None,
    *services: Receiver,
    look: Callable[[], Sight] = _sight,
    settings: AlertSettings = SETTINGS,
) -> notifier.NotifierJob:
    port = webhook if isinstance(webhook, int) else webhook.port if webhook else None
    hook = Secret(f"http://127.0.0.1:{port}/{TOKEN}") if port else None
    urls = tuple(Secret(f"json://user:{TOKEN}@127.0.0.1:{s.port}/") for s in services)
    return notifier.NotifierJob(
        settings=settings,
        targets=AlertTargets(urls, hook),
        mode="paper",
        keep_days=30,
        look=look,
        store=Path("/nonexistent"),
    )


def _run(house: House, job: notifier.NotifierJob, until: Callable[[], bool]) -> None:
    house.new_life()
    house.run(lambda: notifier.run(job, house.context), until)


def test_every_kind_of_alert_reaches_every_address(
    house: House, tmp_path: Path, webhook: Receiver, service: Receiver
) -> None:
    spool = Spool.of_home(tmp_path)
    for kind in Kind:
        spool.put(kind, "pairs:btc_twd", f"text of {kind.value}")
    _run(
        house,
        _job(webhook, service),
        lambda: len(webhook.alerts) == len(Kind) and bool(service.bodies),
    )
    assert {alert["kind"] for alert in webhook.alerts} == {kind.value for kind in Kind}
    (message,) = service.bodies
    assert all(f"text of {kind.value}" in message["message"] for kind in Kind)
    assert "mmd (paper) on" in message["title"]


def test_what_the_watchman_sees_is_told_with_its_end(house: House, webhook: Receiver) -> None:
    book = [BookState(status=BookStatus.DISCONNECTED)]

    def look() -> Sight:
        feed = Process("feeds:btcusdt", 1, "running", 0.0, 0, "")
        state = book[0]._replace(last_frame_ns=time.monotonic_ns())
        return Sight(
            time.monotonic_ns(),
            time.time(),
            parent_state="running",
            processes=(feed,),
            books={"btcusdt": state},
        )

    def over() -> bool:
        if webhook.alerts:
            book[0] = BookState(status=BookStatus.VALID)
        return len(webhook.alerts) == 2

    _run(house, _job(webhook, look=look), over)
    trouble, end = webhook.alerts
    assert (trouble["kind"], trouble["is_recovery"]) == ("stale price", False)
    assert (end["kind"], end["is_recovery"]) == ("stale price", True)


def test_a_kill_switch_on_disk_is_told_with_its_end(
    house: House, tmp_path: Path, webhook: Receiver
) -> None:
    latch = killed.latch_of(tmp_path / "records", "btc_twd")
    killed.throw(latch, Thrown(KillLevel.CANCEL, "lost 5000 TWD today"), 0)

    def over() -> bool:
        if webhook.alerts:
            killed.clear(latch)
        return len(webhook.alerts) == 2

    job = replace(
        _job(webhook, look=lambda: _sight("running")),
        store=tmp_path / "records" / "account.sqlite",
    )
    _run(house, job, over)
    told = [(a["kind"], a["subject"], a["is_recovery"]) for a in webhook.alerts]
    assert told == [
        ("kill switch", "pairs:btc_twd", False),
        ("kill switch", "pairs:btc_twd", True),
    ]
    assert webhook.alerts[0]["text"] == "lost 5000 TWD today"


def test_a_dead_service_delays_neither_the_others_nor_the_heart(
    house: House, tmp_path: Path, webhook: Receiver, service: Receiver
) -> None:
    webhook.answers.clear()
    spool = Spool.of_home(tmp_path)
    spool.put(Kind.STALL, "pairs:a", "first")
    beats: list[int] = []

    def told() -> bool:
        beats.append(house.health.read().heartbeat_ns)
        if len(service.bodies) == 1 and webhook.attempts:
            spool.put(Kind.STALL, "pairs:b", "second")
        return len(service.bodies) >= 2

    started_s = time.monotonic()
    _run(house, _job(webhook, service), told)
    assert time.monotonic() - started_s < 5
    distinct = sorted(set(beats))
    gaps = [after - before for before, after in pairwise(distinct)]
    assert max(gaps[1:]) < 0.8e9, "the heart went on beating"


def test_a_service_that_comes_back_hears_what_it_missed(
    house: House, tmp_path: Path, webhook: Receiver
) -> None:
    webhook.status = 503
    spool = Spool.of_home(tmp_path)
    spool.put(Kind.STALL, "pairs:a", "while it was away")

    def back() -> bool:
        if webhook.attempts:
            webhook.status = 200
        return bool(webhook.bodies)

    _run(house, _job(webhook), back)
    assert [alert["text"] for alert in webhook.alerts] == ["while it was away"]


def test_the_next_start_tells_what_a_killed_one_left_and_nothing_twice(
    house: House, tmp_path: Path, webhook: Receiver
) -> None:
    spool = Spool.of_home(tmp_path)
    spool.put(Kind.START, "mmd", "told before the death")
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        notifier.run(_job(webhook), house.new_life())
        os._exit(0)
    try:
        wait_until(lambda: bool(webhook.alerts) and bool(list(spool.folder.glob("told-*.json"))))
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    spool.put(Kind.STALL, "pairs:a", "put while nobody was there")
    _run(house, _job(webhook), lambda: len(webhook.alerts) > 1)
    texts = [alert["text"] for alert in webhook.alerts]
    assert texts == ["told before the death", "put while nobody was there"]


def test_a_new_address_is_not_told_of_ancient_times(
    house: House, tmp_path: Path, webhook: Receiver
) -> None:
    Spool(tmp_path / "records", lambda: time.time() - 3600).put(Kind.STALL, "pairs:a", "old")
    Spool.of_home(tmp_path).put(Kind.STALL, "pairs:b", "new")
    _run(house, _job(webhook), lambda: bool(webhook.alerts))
    assert [alert["text"] for alert in webhook.alerts] == ["new"]


def test_the_stop_of_mmd_is_told_before_it_goes(house: House, webhook: Receiver) -> None:
    state = ["silent"]

    def up() -> bool:
        if not house.health.read().ready:
            return False
        state[0] = "stopping"
        return True

    slow = AlertSettings(group_s=300, pause_s=3600)
    _run(house, _job(webhook, look=lambda: _sight(state[0]), settings=slow), up)
    assert [alert["kind"] for alert in webhook.alerts] == ["stop"]


def test_no_secret_appears_anywhere(
    house: House,
    tmp_path: Path,
    webhook: Receiver,
    service: Receiver,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.INFO)
    service.status = 500
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        dead_port = closed.getsockname()[1]
        Spool.of_home(tmp_path).put(Kind.STALL, "pairs:a", "text")
        job = _job(dead_port, service)
        _run(house, job, lambda: service.attempts > 0 and "unreachable" in caplog.text)
    results = notify.test(channels(job.targets))
    assert [bool(fault) for _, fault in results] == [True, True]
    files = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    shown = capfd.readouterr()
    for text in (caplog.text, *files, shown.out, shown.err, repr(job), str(results)):
        assert TOKEN not in text
    assert not any(TOKEN in str(path) for path in tmp_path.rglob("*"))


def test_an_address_that_means_nothing_is_told_without_showing_it() -> None:
    with pytest.raises(ConfigError) as caught:
        channels(AlertTargets((Secret(f"nonsense://{TOKEN}"),)))
    assert "address 1 (nonsense)" in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_lines_messaging_api_is_understood() -> None:
    (line,) = channels(AlertTargets((Secret("line://channel-access-token/U0123456789abcdef"),)))
    assert line.name == "line"


def test_the_test_message_says_for_each_address_whether_it_arrived(
    webhook: Receiver, service: Receiver
) -> None:
    service.status = 500
    results = notify.test(channels(_job(webhook, service).targets))
    assert results == [("json", "json did not take the message"), ("webhook", "")]
    assert webhook.alerts[0]["kind"] == "test"


def test_threads_end_with_the_notifier(house: House, webhook: Receiver) -> None:
    _run(
        house,
        _job(webhook, look=lambda: _sight("stopping")),
        lambda: bool(house.health.read().ready),
    )
    assert "webhook" not in {thread.name for thread in threading.enumerate()}
