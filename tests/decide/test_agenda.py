"""What the account process asks, and when."""

from __future__ import annotations

from collections import Counter

from mmd.decide.agenda import Agenda, Paces, Topic

PACES = Paces(trades_s=2)


def rounds(agenda: Agenda, begin: int, seconds: int) -> Counter[Topic]:
    """Plays rounds at their pace, each question answered."""
    counted: Counter[Topic] = Counter()
    for now_s in range(begin, begin + seconds, int(PACES.trades_s)):
        for topic in agenda.due(now_s):
            agenda.asked(topic, now_s)
            counted[topic] += 1
    return counted


def test_the_first_round_asks_for_everything() -> None:
    assert Agenda(PACES).due(5.0) == set(Topic)


def test_a_quiet_minute_costs_less_than_a_request_a_second() -> None:
    agenda = Agenda(PACES)
    rounds(agenda, 0, 60)
    quiet = rounds(agenda, 60, 60)
    assert quiet == {Topic.TRADES: 30, Topic.ORDERS: 6, Topic.BALANCES: 2, Topic.PRICES: 2}


def test_after_trouble_the_open_orders_are_asked_for_in_every_round_for_a_while() -> None:
    agenda = Agenda(PACES)
    rounds(agenda, 0, 20)
    agenda.trouble(20)
    assert rounds(agenda, 20, 6)[Topic.ORDERS] == 3
    assert rounds(agenda, 26, 4)[Topic.ORDERS] == 0


def test_a_fill_brings_the_balances_sooner_and_the_orders_with_them() -> None:
    agenda = Agenda(PACES)
    rounds(agenda, 0, 2)
    agenda.filled()
    soon_s = PACES.balances_after_fill_s
    assert Topic.BALANCES not in agenda.due(soon_s - 1)
    assert {Topic.BALANCES, Topic.ORDERS} <= agenda.due(soon_s)
    agenda.asked(Topic.BALANCES, soon_s)
    assert Topic.BALANCES not in agenda.due(2 * soon_s + 1)


def test_what_was_not_answered_stays_due() -> None:
    agenda = Agenda(PACES)
    agenda.due(0)
    assert agenda.due(2) == set(Topic)
