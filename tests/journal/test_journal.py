"""The journal: what is noted comes to disk, can be replayed to the same decisions byte for byte,
is bounded, holds no secret, and costs little."""

from __future__ import annotations

import base64
import itertools
import pickle
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest

from mmd.cells.layouts import BookState, BookStatus, DepthState
from mmd.config.model import JournalSettings, QuoteSettings
from mmd.decide.bounds import VenueBook
from mmd.decide.guard import Refused
from mmd.decide.inventory import Holdings
from mmd.decide.ladder import WantedQuote
from mmd.decide.ledger import Event, Ledger
from mmd.decide.plan import Cancel
from mmd.decide.quoter import Inputs, Quoter
from mmd.decide.reference import AgeLimits
from mmd.records import journal as journals
from mmd.records.journal import Clocks, Journal, because, folder_of
from mmd.records.recorded import RecordedLedger, RecordedQuoter, checkpoint, restore
from mmd.records.replay import lines_of, replay, rows_of
from mmd.venues.ace import calls
from mmd.words.errors import ConfigError, OutcomeUnknown
from mmd.words.market import (
    Level,
    MarketRules,
    NewOrder,
    Order,
    OrderBook,
    OrderStatus,
    OwnTrade,
    Pair,
    Side,
)

D = Decimal
PAIR = Pair("BTC", "TWD")
RULES = MarketRules(PAIR, 1, 2, D("0.1"), D("0.0001"), D("0.001"), D(5))
LIMITS = AgeLimits(10**10, 10**10)
START_MS = 1_800_000_000_000
SETTINGS = QuoteSettings.model_validate(
    {
        "levels": 3,
        "fewest_levels": 2,
        "amount": {"min": "0.01", "max": "0.02"},
        "refresh_s": {"min": 2, "max": 5},
        "reference": "vwap",
        "depth": 5,
        "inventory": {"max_long": "0.3", "max_short": "0.3"},
        "after_fill": {"hanging_bps": 50, "replenish_s": 0.5},
        "bounds": {"venue_best": "join", "band_bps": 300},
    }
)


@dataclass
class Bench:
    """A quoter and a ledger that are recorded, and a market that moves."""

    journal: Journal
    quoter: RecordedQuoter
    ledger: RecordedLedger
    random: Random
    now_ns: int = 10**9
    price: float = 30_000.0
    orders: int = 0

    @property
    def wall_ms(self) -> int:
        return START_MS + self.now_ns // 1_000_000

    def turn(self) -> None:
        """One decision, and what may come of it."""
        random = self.random
        self.now_ns += random.randrange(10**6, 3 * 10**8)
        if random.random() < 0.7:
            self.price = round(self.price * (1 + random.gauss(0, 0.0003)), 2)
        book = BookState(
            status=BookStatus.VALID if random.random() < 0.97 else BookStatus.DISCONNECTED,
            bid_price=self.price,
            bid_qty=0.5,
            ask_price=round(self.price + 0.01, 2),
            ask_qty=0.25,
            last_frame_ns=self.now_ns,
            last_trade_price=round(self.price * (1 - 0.001 * (random.random() < 0.05)), 2),
            last_trade_id=random.randrange(1, 100),
        )
        rate = BookState(
            status=BookStatus.VALID, bid_price=32.1, ask_price=32.2, last_frame_ns=self.now_ns
        )
        depth = DepthState(
            BookStatus.VALID,
            1,
            self.now_ns,
            tuple((self.price - n, 0.05) for n in range(5)),
            tuple((self.price + 0.01 + n, 0.05) for n in range(5)),
        )
        venue = VenueBook(
            OrderBook((Level(D("900000"), D(1)),), (Level(D("1100000.5"), D(1)),)), self.now_ns
        )
        inputs = Inputs(Holdings(D(str(round(random.gauss(0, 0.1), 4)))), depth, venue, 1.5)
        stop = "paused" if random.random() < 0.02 else None
        actions = self.quoter.decide(
            book, rate, self.ledger, self.now_ns, random.random() < 0.5, stop, inputs
        )
        for action in actions:
            self.carry_out(action)
        if random.random() < 0.01:
            self.quoter.use(SETTINGS.model_copy(update={"levels": random.randint(2, 4)}), LIMITS)
        self.journal.flush()

    def carry_out(self, action: object) -> None:
        ledger, now_ns, random = self.ledger, self.now_ns, self.random
        if isinstance(action, Cancel):
            client_id = action.entry.order.client_id
            ledger.apply(client_id, Event.CANCEL_SENT, now_ns)
            if random.random() < 0.9:
                ledger.apply(client_id, Event.CANCELLED, now_ns)
            return
        quote = action.quote  # type: ignore[attr-defined]
        self.orders += 1
        order = NewOrder(f"id{self.orders}", quote.side, quote.price, quote.amount)
        ledger.want(order, quote.level, now_ns, self.quoter.expiry_ns(now_ns))
        ledger.apply(order.client_id, Event.SENT, now_ns)
        ledger.apply(order.client_id, Event.ACCEPTED, now_ns)
        if random.random() < 0.2:
            part = order.amount * (D(1) if random.random() < 0.5 else D("0.5"))
            ledger.book_fill(order.client_id, part, now_ns)


def bench(folder: Path, seed: int = 1, max_mb: int = 100) -> Bench:
    made: list[Bench] = []
    clocks = Clocks(
        lambda: made[0].now_ns if made else 0, lambda: made[0].wall_ms if made else START_MS
    )
    journal = Journal(folder, JournalSettings(max_mb=max_mb), clocks)
    quoter = RecordedQuoter(journal, SETTINGS, RULES, LIMITS, Random(seed))
    ledger = RecordedLedger(journal)
    made.append(Bench(journal, quoter, ledger, Random(seed + 1)))
    journal.begin(lambda: checkpoint(quoter, ledger))
    return made[0]


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


@pytest.mark.parametrize("seed", range(5))
def test_a_replay_makes_the_same_decisions_byte_for_byte(seed: int, tmp_path: Path) -> None:
    run = bench(tmp_path, seed)
    run.ledger.adopt(
        Order("7", "old", PAIR, Side.BUY, D(950_000), D(1), D(0), OrderStatus.OPEN, 0), 0, 10**10
    )
    for _ in range(400):
        run.turn()
    run.journal.close()
    (file,) = files(tmp_path)
    report = replay(rows_of(file))
    assert report.decisions == 400
    assert report.actions > 100
    assert report.differences == []
    assert run.journal.lost == 0


def test_a_replay_tells_where_decisions_differ(tmp_path: Path) -> None:
    run = bench(tmp_path)
    for _ in range(50):
        run.turn()
    run.journal.close()
    rows = list(rows_of(files(tmp_path)[0]))
    changed = next(r for r in rows if r["k"] == "decide" and r["out"])
    changed["out"][0]["why"] = "another reason"
    found = replay(rows).differences
    assert [difference.number for difference in found] == [changed["n"]]
    assert b"another reason" in found[0].recorded


def test_each_part_of_a_long_run_can_be_replayed_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "_PARTS", 100)
    run = bench(tmp_path, max_mb=5)
    for _ in range(800):
        run.turn()
    run.now_ns += 24 * 3600 * 10**9  # the next day
    for _ in range(50):
        run.turn()
    run.journal.close()
    parts = files(tmp_path)
    assert len(parts) > 3
    assert {part.name[:10] for part in parts} == {"2027-01-15", "2027-01-16"}
    reports = [replay(rows_of(part)) for part in parts]
    assert sum(report.decisions for report in reports) == 850
    assert all(report.differences == [] for report in reports)


def test_numbers_run_on_without_a_gap_through_all_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "_PARTS", 100)
    run = bench(tmp_path, max_mb=5)
    for _ in range(300):
        run.turn()
    run.journal.close()
    rows = [row for part in files(tmp_path) for row in rows_of(part)]
    numbers = [row["n"] for row in rows if row["k"] != "begin"]
    assert numbers == list(range(len(numbers)))
    assert all(a["t"] <= b["t"] for a, b in itertools.pairwise(rows))
    assert all(row["wall_ms"] >= START_MS for row in rows if row["k"] == "begin")


def test_the_oldest_files_go_when_there_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Journal, "max_bytes", 400_000)
    run = bench(tmp_path)
    for _ in range(4_000):
        run.turn()
    run.journal.close()
    assert 200_000 < sum(file.stat().st_size for file in files(tmp_path)) <= 400_000
    assert not (tmp_path / f"2027-01-15_{START_MS}_00000.jsonl.gz").exists()
    assert replay(rows_of(files(tmp_path)[-1])).differences == []


def test_old_days_go_and_other_files_stay(tmp_path: Path) -> None:
    for name in ("2027-01-01_1_00000.jsonl.gz", "2027-01-02_1_00000.jsonl.gz", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    journals.remove_old(tmp_path, date(2027, 1, 16), keep_days=14, max_bytes=10**9)
    assert [file.name for file in files(tmp_path)] == ["2027-01-02_1_00000.jsonl.gz", "notes.txt"]


@pytest.mark.parametrize("cut", [1, 7, 100, 3000])
def test_a_file_cut_short_is_replayed_up_to_its_last_whole_line(cut: int, tmp_path: Path) -> None:
    run = bench(tmp_path)
    for _ in range(100):
        run.turn()
    run.journal.close()
    (file,) = files(tmp_path)
    file.write_bytes(file.read_bytes()[:-cut])
    report = replay(rows_of(file))
    assert report.differences == []
    assert report.decisions > 10


def test_what_is_noted_is_on_disk_within_a_quarter_second_without_closing(tmp_path: Path) -> None:
    run = bench(tmp_path)
    for _ in range(20):
        run.turn()
    run.now_ns += 250_000_000
    run.journal.flush()
    noted = [row for row in rows_of(files(tmp_path)[0]) if row["k"] == "decide"]
    run.journal.close()
    assert len(noted) == 20


def test_requests_are_noted_with_reason_and_reply(tmp_path: Path) -> None:
    run = bench(tmp_path)
    order = NewOrder("id1", Side.BUY, D("999000.5"), D("0.01"))
    with because("missing"):
        number = run.journal.asked(calls.new_order(RULES, order))
    run.journal.answered(number, "4711")
    lost = run.journal.asked(calls.cancel("4711"))
    run.journal.answered(lost, OutcomeUnknown("cancel: no clear answer"))
    refused = WantedQuote(Side.SELL, 2, D(5), D(1))
    run.journal.refused([Refused(refused, "off the grid")])
    run.journal.filled(
        [OwnTrade(10**31, "4711", "id1", PAIR, Side.BUY, D(5), D(1), D(0), True, False, 9)]
    )
    run.journal.note("text", "kill switch thrown")
    run.journal.close()
    ask, answer, cancel, error, refusal, trade, text = list(rows_of(files(tmp_path)[0]))[1:]
    assert (ask["call"], ask["why"]) == ("new order", "missing")
    assert ask["params"]["customOrderId"] == "id1"
    assert (answer["to"], answer["answer"]) == (ask["n"], "4711")
    assert cancel["why"] == ""
    assert (error["to"], error["error"]) == (cancel["n"], "OutcomeUnknown")
    assert (refusal["level"], refusal["why"]) == (2, "off the grid")
    assert trade["trade_no"] == str(10**31)
    assert text["text"] == "kill switch thrown"


def test_a_disk_that_takes_nothing_costs_notes_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    folder.write_text("a file in the way")
    run = bench(folder)
    for _ in range(50):
        run.turn()
    assert run.journal.lost > 0
    folder.unlink()
    run.now_ns += 11 * 10**9
    for _ in range(100):
        run.turn()
    run.journal.close()
    report = replay(rows_of(files(folder)[0]))
    assert report.decisions > 50
    assert report.differences == []


def test_a_checkpoint_brings_back_both_and_calls_nothing_else(tmp_path: Path) -> None:
    run = bench(tmp_path)
    for _ in range(30):
        run.turn()
    quoter, ledger = restore(checkpoint(run.quoter, run.ledger))
    assert type(quoter) is Quoter
    assert type(ledger) is Ledger
    assert ledger.entries.keys() == run.ledger.entries.keys()
    assert quoter.random.random() == run.quoter.random.random()
    run.journal.close()
    for evil in (print, replace, Path.unlink, pickle.loads):
        with pytest.raises(ConfigError):
            restore(pickle.dumps((evil, 1)))
    with pytest.raises(ConfigError):
        restore(b"nonsense")


def test_a_journal_of_another_version_is_refused(tmp_path: Path) -> None:
    run = bench(tmp_path)
    run.turn()
    run.journal.close()
    rows = list(rows_of(files(tmp_path)[0]))
    rows[0]["version"] = 0
    with pytest.raises(ConfigError):
        replay(rows)
    with pytest.raises(ConfigError):
        replay(rows[1:])


def test_each_pair_has_its_folder() -> None:
    assert folder_of(Path("records"), PAIR) == Path("records/journal/btc_twd")


def test_a_note_costs_the_decision_little_and_the_timer_not_much(tmp_path: Path) -> None:
    """Under 20 µs for each decision, writing included; on the way of the decision itself, 5."""
    run = bench(tmp_path)
    made = [_busy_decision(run, turn) for turn in range(2_000)]
    noting, writing = [], []
    for begin in range(0, len(made), 100):
        before = time.process_time()
        for decision in made[begin : begin + 100]:
            run.journal.decided(decision, ())
        between = time.process_time()
        run.now_ns += 250_000_000
        run.journal.flush()
        noting.append(between - before)
        writing.append(time.process_time() - between)
    run.journal.close()
    assert min(noting) / 100 < 5e-6
    assert (min(noting) + min(writing)) / 100 < 20e-6


def _busy_decision(run: Bench, turn: int) -> journals.Decision:
    book = BookState(BookStatus.VALID, 30_000.5 + turn, 0.1, 30_000.6 + turn, 0.2, turn)
    rate = BookState(BookStatus.VALID, 32.1, 5.0, 32.2, 5.0)
    return journals.Decision(book, rate, turn, False, None, Inputs(Holdings(D(1)), wall_s=1.5))


def test_lines_are_whole_though_read_in_pieces(tmp_path: Path) -> None:
    run = bench(tmp_path)
    for _ in range(300):
        run.turn()
    run.journal.close()
    lines: Iterator[bytes] = lines_of(files(tmp_path)[0])
    assert all(line.startswith(b"{") and line.endswith(b"}") for line in lines)
    first = next(rows_of(files(tmp_path)[0]))
    assert base64.b64decode(first["checkpoint"])
