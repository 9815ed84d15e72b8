"""The kill switch thrown under each fault of the venue: no order is left, and none comes back
before somebody resumes. The real worker and the real engine, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path

import pytest

from mmd.config.risk import KillLevel
from mmd.decide.killswitch import Thrown
from mmd.faces.stage import INSTANCE, Life
from mmd.processes.brake import describe
from mmd.processes.sweep import SweepPlan, sweep_async
from mmd.records import killed
from mmd.records.alerts import Kind, Spool
from mmd.sim.ace.faults import Fault, FaultKind
from mmd.sim.virtual import VirtualLoop
from tests.orders.trial import PAIR, SETTINGS, Drama, kill, ours

SWITCH = killed.latch_of(Path(), PAIR.slug).name
FAULTS = [
    Fault(kind=FaultKind.DELAY, probability=0.7, delay_ms=800, after=True),
    Fault(kind=FaultKind.ERROR_BEFORE, probability=0.6),
    Fault(kind=FaultKind.ERROR_AFTER, probability=0.6),
    Fault(kind=FaultKind.LOST_REPLY, probability=0.6),
    Fault(kind=FaultKind.RESET, probability=0.6),
    Fault(kind=FaultKind.MALFORMED, probability=0.6),
    Fault(kind=FaultKind.FREEZE, probability=0.4, seconds=1),
    Fault(kind=FaultKind.RATE_LIMIT, probability=0.4),
    Fault(kind=FaultKind.REFUSE, probability=0.6, status=9996),
]

Script = Callable[[Drama], Awaitable[None]]


def on_stage(folder: Path, script: Script, **risk: object) -> None:
    """Plays a script with one pair whose switch has the given limits."""
    with ExitStack() as stack:
        loop = VirtualLoop()
        asyncio.set_event_loop(loop)
        stack.callback(asyncio.set_event_loop, None)
        stack.callback(loop.close)
        stage = Drama(7, folder, loop, stack)
        limits = SETTINGS.risk.model_validate(risk)
        stage.place.settings = SETTINGS.model_copy(update={"risk": limits})

        async def run() -> None:
            await stage.learn_markets()
            await script(stage)

        loop.run_until_complete(run())


async def let_pass(stage: Drama, seconds: float, life: Life | None = None) -> None:
    """Time passes: prices move, the account process asks, until the worker leaves at the latest."""
    end, due = stage.loop.time() + seconds, stage.loop.time()
    account: asyncio.Task[float] | None = None
    while stage.loop.time() < end and not (life is not None and life.task.done()):
        stage.move()
        if stage.loop.time() >= due and (account is None or account.done()):
            due = stage.loop.time() + 1.0
            account = stage.loop.create_task(stage.account_round())
        await asyncio.sleep(0.1)
    if account is not None:
        await account


async def until(stage: Drama, condition: Callable[[], bool], within_s: float) -> None:
    end = stage.loop.time() + within_s
    while not condition():
        assert stage.loop.time() < end, "it did not come about in time"
        await let_pass(stage, 0.2)


def throw(stage: Drama, level: KillLevel) -> Thrown:
    thrown = Thrown(level, "enough is enough")
    killed.throw(stage.folder / SWITCH, thrown, stage.loop.wall_ms())
    return thrown


@pytest.mark.parametrize("level", [KillLevel.PAUSE, KillLevel.CANCEL])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.kind.value)
def test_nothing_is_left_under_any_fault_until_resumed(
    fault: Fault, level: KillLevel, tmp_path: Path
) -> None:
    async def script(stage: Drama) -> None:
        life = stage.begin_life()
        await until(stage, lambda: len(ours(stage)) >= 4, 5)
        stage.exchange.faults.add(fault)
        await let_pass(stage, 2.0)
        throw(stage, level)
        await until(stage, lambda: not ours(stage) and not life.worker.ledger.entries, 40)
        for _ in range(50):
            await let_pass(stage, 0.1)
            assert not ours(stage)
        stage.exchange.faults.clear()
        assert "kill switch" in life.worker.quoter.note
        assert stage.place.quotes.read().paused
        await kill(life)  # it holds over a restart
        life = stage.begin_life()
        await let_pass(stage, 3.0)
        assert not ours(stage)
        killed.clear(stage.folder / SWITCH)
        await until(stage, lambda: len(ours(stage)) >= 4, 10)
        await kill(life)

    on_stage(tmp_path, script)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.kind.value)
def test_at_level_stop_the_worker_leaves_and_its_sweep_finds_nothing_in_the_end(
    fault: Fault, tmp_path: Path
) -> None:
    async def script(stage: Drama) -> None:
        life = stage.begin_life()
        await until(stage, lambda: len(ours(stage)) >= 4, 5)
        stage.exchange.faults.add(fault)
        await let_pass(stage, 1.0)
        throw(stage, KillLevel.STOP)
        await let_pass(stage, 25, life)
        assert life.task.done()
        life.task.result()
        plan = SweepPlan(PAIR, INSTANCE, 0.5, stage.loop.time() + 60)
        swept = await sweep_async(stage.clerk, stage.endpoint, plan, stage.loop.time)
        assert swept.proven, swept
        assert not ours(stage)

    on_stage(tmp_path, script)


def test_at_level_cancel_the_venues_lists_prove_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def script(stage: Drama) -> None:
        life = stage.begin_life()
        await until(stage, lambda: len(ours(stage)) >= 4, 5)
        throw(stage, KillLevel.CANCEL)
        await let_pass(stage, 4.0)
        assert any("proven" in record.message for record in caplog.records)
        await kill(life)

    on_stage(tmp_path, script)


def test_what_cannot_be_cancelled_is_told_with_numbers_and_reason(tmp_path: Path) -> None:
    async def script(stage: Drama) -> None:
        stage.place.stop_limit_s = 1.0
        life = stage.begin_life()
        await until(stage, lambda: len(ours(stage)) >= 4, 5)
        stage.exchange.faults.add(Fault(kind=FaultKind.REFUSE, path="/order/cancel", status=9996))
        throw(stage, KillLevel.CANCEL)

        def told() -> list[str]:
            alerts = Spool.of_home(tmp_path).read_all()[0]
            return [alert.text for alert in alerts if alert.kind is Kind.ORDERS_LEFT]

        await until(stage, lambda: bool(told()), 10)
        left = ours(stage)
        assert left
        assert all(number in told()[0] for number in left)
        assert "9996" in told()[0]
        stage.exchange.faults.clear()
        await until(stage, lambda: not ours(stage), 10)
        await kill(life)

    on_stage(tmp_path, script)


def test_orders_refused_in_a_row_throw_it(tmp_path: Path) -> None:
    async def script(stage: Drama) -> None:
        life = stage.begin_life()
        await until(stage, lambda: len(ours(stage)) >= 4, 5)
        refuse = Fault(kind=FaultKind.REFUSE, path="/order/order", status=2004)
        stage.exchange.faults.add(refuse)
        await until(stage, lambda: killed.read(stage.folder / SWITCH) is not None, 60)
        thrown = killed.read(stage.folder / SWITCH)
        assert thrown is not None
        assert thrown.level is KillLevel.CANCEL
        assert "refused" in thrown.reason
        stage.exchange.faults.clear()
        await until(stage, lambda: not ours(stage), 5)
        alerts = Spool.of_home(tmp_path).read_all()[0]
        told = [alert for alert in alerts if alert.kind is Kind.KILL_SWITCH]
        assert [(alert.subject, alert.text) for alert in told] == [
            ("pairs:btc_twd", describe(thrown, PAIR))
        ]
        killed.clear(stage.folder / SWITCH)
        await until(stage, lambda: len(ours(stage)) >= 4, 10)
        await let_pass(stage, 2)
        assert not (stage.folder / SWITCH).exists()
        await kill(life)

    on_stage(tmp_path, script, max_refused=8, on_refused="cancel")


def test_a_loss_from_the_peak_throws_it_and_a_new_peak_begins_on_resuming(tmp_path: Path) -> None:
    async def script(stage: Drama) -> None:
        life = stage.begin_life()
        result = life.worker.books_kept

        def position() -> Decimal:
            return result.result.position

        await until(stage, lambda: position() != 0, 60)
        held = position()
        while not (stage.folder / SWITCH).exists():
            stage.price *= 0.997 if held > 0 else 1.003
            await let_pass(stage, 1.2)
            if position() and position() * held < 0:
                held = position()
        thrown = killed.read(stage.folder / SWITCH)
        assert thrown is not None
        assert thrown.level is KillLevel.STOP
        assert "from the peak" in thrown.reason
        await let_pass(stage, 15, life)
        assert life.task.done()
        assert not ours(stage)
        killed.clear(stage.folder / SWITCH)
        life = stage.begin_life()
        await until(stage, lambda: len(ours(stage)) >= 2, 10)
        assert not (stage.folder / SWITCH).exists()
        await kill(life)

    on_stage(tmp_path, script, max_loss="2", on_loss="stop")


def test_the_switch_holds_though_the_disk_takes_no_latch(tmp_path: Path) -> None:
    async def script(stage: Drama) -> None:
        life = stage.begin_life()
        await until(stage, lambda: len(ours(stage)) >= 4, 5)
        (stage.folder / SWITCH).mkdir()  # a folder where the latch should be: unreadable
        await until(stage, lambda: not ours(stage), 10)
        assert not life.task.done()
        (stage.folder / SWITCH).rmdir()
        await until(stage, lambda: len(ours(stage)) >= 4, 10)
        await kill(life)

    on_stage(tmp_path, script)
