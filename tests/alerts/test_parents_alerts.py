"""What the parent's life cycle cries out reaches the spool as what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmd.faces.sight import classify, parents_alerts
from mmd.records.alerts import Kind, Spool
from mmd.supervision.lifecycle import Life, Observation
from mmd.supervision.limits import Limits
from mmd.supervision.sweeping import Alert, Sweeping
from mmd.words.errors import Exit

LIMITS = Limits(stall_s=1, start_s=2, restarts=1, overflows=1, memory_mb=100)


def _alive() -> Life:
    life = Life(LIMITS, lambda: 0.5)
    life.start(0.0)
    life.started(0.0, 123)
    return life


def _kinds(actions: list[object]) -> list[Kind]:
    texts = [f"pairs:btc_twd {action.text}" for action in actions if isinstance(action, Alert)]
    found = [classify(text) for text in texts]
    assert all(subject == "pairs:btc_twd" for _, subject, _ in found)
    return [kind for kind, _, _ in found]


def test_a_key_that_is_rejected_parks() -> None:
    assert _kinds([*_alive().exited(1.0, Exit.CONFIG)]) == [Kind.PARKED]


@pytest.mark.parametrize("frozen", [False, True])
def test_silence_is_a_stall(frozen: bool) -> None:
    life = _alive()
    life.tick(0.1, Observation(ready=True, heartbeat=0.1))
    for tenth in range(2, 30):
        actions = life.tick(tenth / 10, Observation(ready=True, heartbeat=0.1, frozen=frozen))
        if actions:
            break
    assert _kinds([*actions]) == [Kind.STALL]


def test_persistent_overflows_are_overflow() -> None:
    life = _alive()
    life.tick(0.1, Observation(ready=True, heartbeat=0.1, overflows=0))
    actions = life.tick(0.2, Observation(ready=True, heartbeat=0.2, overflows=50))
    assert _kinds([*actions]) == [Kind.OVERFLOW]


def test_growing_too_large_is_a_restart() -> None:
    life = _alive()
    life.tick(0.1, Observation(ready=True, heartbeat=0.1))
    actions = life.tick(0.2, Observation(ready=True, heartbeat=0.2, memory_mb=500))
    assert _kinds([*actions]) == [Kind.RESTART]


def test_never_getting_ready_is_said_so() -> None:
    life = _alive()
    kinds = []
    for tenth in range(1, 40):
        kinds += _kinds([*life.tick(tenth / 10, Observation(heartbeat=tenth / 10))])
    assert kinds == [Kind.NOT_READY]


def test_orders_that_are_left_are_said_so() -> None:
    sweeping = Sweeping(10.0)
    sweeping.started(0.0, 7)
    assert _kinds([*sweeping.exited(1.0, Exit.ORDERS_LEFT)]) == [Kind.ORDERS_LEFT]


def test_a_refused_reload_concerns_mmd() -> None:
    kind, subject, text = classify("reload refused, nothing has changed: pairs.yaml:3: wrong")
    assert (kind, subject) == (Kind.RELOAD, "mmd")
    assert "pairs.yaml:3" in text


def test_what_the_parent_says_is_on_the_spool(tmp_path: Path) -> None:
    parents_alerts(tmp_path)("pairs:btc_twd parked: exit code 3 (config)")
    (alert,), _ = Spool(tmp_path).read_all()
    assert (alert.kind, alert.subject) == (Kind.PARKED, "pairs:btc_twd")
