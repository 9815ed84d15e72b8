"""The loader: right files come out exact, wrong files get every problem told with its line."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmd.config.load import load
from mmd.config.model import Mode, PairSettings, Settings
from mmd.words.errors import ConfigError
from mmd.words.market import Pair
from mmd.words.source import Source

ROOT = Path(__file__).parents[2]
BTC = Pair("BTC", "TWD")
ETH = Pair("ETH", "TWD")
GOOD = """\
mode: paper
rates:
  USDT/TWD: {}
pairs:
  BTC/TWD:
    binance: BTCUSDT
    quote:
      spread_bps: 20
      amount: {min: 0.002, max: 0.01}
    self_trade: {enabled: false}
"""


def _load(folder: Path, text: str | bytes) -> Settings:
    path = folder / "pairs.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load(path)


def _problems(folder: Path, text: str | bytes) -> list[str]:
    """The problems, without the folder's name."""
    with pytest.raises(ConfigError) as caught:
        _load(folder, text)
    return [problem.removeprefix(f"{folder}/") for problem in caught.value.problems]


WASH = (
    "must be false in live mode: trading with oneself on a public market is wash trading, "
    "which misleads others and is unlawful"
)

WRONG_VALUES = {
    "a negative spread": (
        ("spread_bps: 20", "spread_bps: -1"),
        "pairs.yaml:8: pairs.BTC/TWD.quote.spread_bps: found -1; must be greater than 0",
    ),
    "a spread that is no number": (
        ("spread_bps: 20", "spread_bps: wide"),
        "pairs.yaml:8: pairs.BTC/TWD.quote.spread_bps: found wide; must be a number",
    ),
    "a truth value for a number": (
        ("spread_bps: 20", "spread_bps: yes"),
        "pairs.yaml:8: pairs.BTC/TWD.quote.spread_bps: found yes; must be a number",
    ),
    "infinity": (
        ("spread_bps: 20", "spread_bps: .inf"),
        "pairs.yaml:8: pairs.BTC/TWD.quote.spread_bps: found .inf; must be a number",
    ),
    "no number": (
        ("spread_bps: 20", "spread_bps: NaN"),
        "pairs.yaml:8: pairs.BTC/TWD.quote.spread_bps: found NaN; must be a finite number",
    ),
    "a number that would fill the memory when written out": (
        ("spread_bps: 20", "step_bps: 1e-999999999"),
        "pairs.yaml:8: pairs.BTC/TWD.quote.step_bps: found 1e-999999999; "
        "must have at most 18 decimal places",
    ),
    "an upside-down range of seconds": (
        ("spread_bps: 20", "refresh_s: {min: 0.5, max: 0.25}"),
        "pairs.yaml:8: pairs.BTC/TWD.quote.refresh_s.max: found 0.25; "
        "must be at least min, which is 0.5",
    ),
    "a misspelt key": (
        ("spread_bps: 20", "spred_bps: 20"),
        "pairs.yaml:8: pairs.BTC/TWD.quote: unknown key 'spred_bps'; did you mean 'spread_bps'?",
    ),
    "a misspelt key that must be there": (
        ("binance: BTCUSDT", "binanse: BTCUSDT"),
        "pairs.yaml:6: pairs.BTC/TWD: unknown key 'binanse'; did you mean 'binance'?",
    ),
    "a misspelt section": (
        ("rates:", "rats:"),
        "pairs.yaml:2: unknown key 'rats'; did you mean 'rates'?",
    ),
    "a group for a number": (
        ("spread_bps: 20", "spread_bps: {first: 20}"),
        "pairs.yaml:8: pairs.BTC/TWD.quote.spread_bps: found a group of keys; must be a number",
    ),
    "a number for a group": (
        ("amount: {min: 0.002, max: 0.01}", "amount: 5"),
        "pairs.yaml:9: pairs.BTC/TWD.quote.amount: found 5; must be a group of keys",
    ),
    "a list for a group": (
        ("USDT/TWD: {}", "- USDT/TWD"),
        "pairs.yaml:2: rates: found a list; must be a group of keys",
    ),
    "a fraction for a whole number": (
        ("spread_bps: 20", "levels: 2.5"),
        "pairs.yaml:8: pairs.BTC/TWD.quote.levels: found 2.5; must be a whole number",
    ),
    "too many levels": (
        ("spread_bps: 20", "levels: 51"),
        "pairs.yaml:8: pairs.BTC/TWD.quote.levels: found 51; must be at most 50",
    ),
    "a depth that Binance lacks": (
        ("spread_bps: 20", "depth: 7"),
        "pairs.yaml:8: pairs.BTC/TWD.quote.depth: found 7; must be 0, 5, 10 or 20",
    ),
    "levels that could cross": (
        ("spread_bps: 20", "jitter_bps: 5"),
        "pairs.yaml:8: pairs.BTC/TWD.quote.jitter_bps: found 5; "
        "must be less than half of step_bps, which is 10",
    ),
    "a last level without a price": (
        ("spread_bps: 20", "step_bps: 4999"),
        "pairs.yaml:7: pairs.BTC/TWD.quote.levels: not given; "
        "must be fewer: the last level would lie 20018 bps away, over 10000",
    ),
    "an upside-down range": (
        ("max: 0.01", "max: 0.001"),
        "pairs.yaml:9: pairs.BTC/TWD.quote.amount.max: found 0.001; "
        "must be at least min, which is 0.002",
    ),
    "a missing amount": (
        ("      amount: {min: 0.002, max: 0.01}\n", ""),
        "pairs.yaml:7: pairs.BTC/TWD.quote.amount: not given; "
        "must be given, such as {min: 0.002, max: 0.01}",
    ),
    "a missing symbol": (
        ("    binance: BTCUSDT\n", ""),
        "pairs.yaml:5: pairs.BTC/TWD.binance: not given; must be given, such as BTCUSDT",
    ),
    "a symbol in small letters": (
        ("BTCUSDT", "btcusdt"),
        "pairs.yaml:6: pairs.BTC/TWD.binance: found btcusdt; "
        "must be a symbol of Binance in capitals, such as BTCUSDT",
    ),
    "a symbol of another coin": (
        ("BTCUSDT", "ETHUSDT"),
        "pairs.yaml:6: pairs.BTC/TWD.binance: found ETHUSDT; "
        "must be BTCUSDT, which gives BTC/TWD its price with the rate USDT/TWD",
    ),
    "a symbol in the wrong money": (
        ("binance: BTCUSDT", "binance: BTCUSDT\n    rate: none"),
        "pairs.yaml:6: pairs.BTC/TWD.binance: found BTCUSDT; "
        "must be BTCTWD, which gives BTC/TWD its price without a rate",
    ),
    "a cross with the wrong sign": (
        ("binance: BTCUSDT", "binance: BTCETH / ETHUSDT"),
        "pairs.yaml:6: pairs.BTC/TWD.binance: found BTCETH / ETHUSDT; must be BTCETH * ETHUSDT or "
        "BTCETH / USDTETH, which gives BTC/TWD its price with the rate USDT/TWD",
    ),
    "a cross that leads elsewhere": (
        ("binance: BTCUSDT", "binance: ETHUSDT / BTCUSDT"),
        "pairs.yaml:6: pairs.BTC/TWD.binance: found ETHUSDT / BTCUSDT; "
        "must be BTCUSDT, which gives BTC/TWD its price with the rate USDT/TWD",
    ),
    "three symbols": (
        ("binance: BTCUSDT", "binance: BTCETH * ETHBNB * BNBUSDT"),
        "pairs.yaml:6: pairs.BTC/TWD.binance: found BTCETH * ETHBNB * BNBUSDT; "
        "must be a symbol of Binance in capitals, such as BTCUSDT",
    ),
    "a cross whose hedge has two costs": (
        (
            "binance: BTCUSDT\n    quote:\n",
            "binance: BTCETH * ETHUSDT\n    quote:\n      depth: 5\n      reference: vwap\n",
        ),
        "pairs.yaml:9: pairs.BTC/TWD.quote.reference: found vwap; "
        "must be top or micro: the costs of hedging a cross are not reckoned",
    ),
    "an unknown pair": (
        ("BTC/TWD", "BITCOIN"),
        "pairs.yaml:5: pairs.BITCOIN: found 'BITCOIN'; must be a pair such as BTC/TWD",
    ),
    "a missing rate": (
        ("  USDT/TWD: {}\n", "  USDC/TWD: {}\n"),
        "pairs.yaml:5: pairs.BTC/TWD.rate: not given; USDT/TWD must be configured under rates",
    ),
    "a rate into other money": (
        ("binance: BTCUSDT", "binance: BTCUSDT\n    rate: BTC/USDT"),
        "pairs.yaml:7: pairs.BTC/TWD.rate: found BTC/USDT; must be a pair in TWD, as BTC/TWD is",
    ),
    "a pair in money that auto doesn't know": (
        ("BTC/TWD:", "BTC/EUR:"),
        "pairs.yaml:5: pairs.BTC/EUR.rate: not given; "
        "must be given: auto serves pairs in TWD and USDT only",
    ),
    "a rate that is always stale": (
        ("USDT/TWD: {}", "USDT/TWD: {poll_s: 10}"),
        "pairs.yaml:3: rates.USDT/TWD.max_age_s: not given; must be more than poll_s, which is 10",
    ),
    "the same pair twice": (
        ("    self_trade: {enabled: false}\n", "  btc_twd: {}\n"),
        "pairs.yaml:10: pairs.btc_twd: duplicate of pairs.BTC/TWD on line 5",
    ),
    "an unknown mode": (
        ("mode: paper", "mode: demo"),
        "pairs.yaml:1: mode: found demo; must be 'paper', 'testnet' or 'live'",
    ),
    "testnet without an address": (
        ("mode: paper", "mode: testnet"),
        "pairs.yaml:1: ace.base_url: not given; "
        "must be given in testnet mode: the address of ACE's test system",
    ),
    "testnet on the public exchange": (
        ("mode: paper", "mode: testnet\nace: {base_url: https://ACE.io./polarisex}"),
        "pairs.yaml:2: ace.base_url: found https://ACE.io./polarisex; "
        "must not be the public exchange in testnet mode",
    ),
    "paper on the public exchange": (
        ("mode: paper", "mode: paper\nace: {base_url: https://ace.io/polarisex}"),
        "pairs.yaml:2: ace.base_url: found https://ace.io/polarisex; "
        "must not be the public exchange in paper mode",
    ),
    "live orders in the clear": (
        ("mode: paper", "mode: live\nace: {base_url: http://ace.io/polarisex}"),
        "pairs.yaml:2: ace.base_url: found http://ace.io/polarisex; "
        "must be https in live mode: orders and their key would travel in the clear",
    ),
    "self-trade in live mode": (
        (GOOD, GOOD.replace("paper", "live").replace("false", "yes")),
        f"pairs.yaml:10: pairs.BTC/TWD.self_trade.enabled: found yes; {WASH}",
    ),
    "a stream over http": (
        ("mode: paper", "binance: {stream_url: https://stream.binance.com}"),
        "pairs.yaml:1: binance.stream_url: found https://stream.binance.com; "
        "must be a URL such as wss://host or ws://host:1",
    ),
    "a password in an address, which is not repeated": (
        ("mode: paper", "ace: {base_url: https://me:secret@test.example}"),
        "pairs.yaml:1: ace.base_url: found https://***@test.example; "
        "must be a URL such as https://host or http://host:1",
    ),
    "an impossible port": (
        ("mode: paper", "ace: {base_url: https://test.example:99999}"),
        "pairs.yaml:1: ace.base_url: found https://test.example:99999; "
        "must be a URL such as https://host or http://host:1",
    ),
    "a time zone that doesn't exist": (
        ("mode: paper", "time_zone: Asia/Taipeh"),
        "pairs.yaml:1: time_zone: found Asia/Taipeh; must be a time zone such as Asia/Taipei",
    ),
    "a time zone outside the data base": (
        ("mode: paper", "time_zone: ../../etc/passwd"),
        "pairs.yaml:1: time_zone: found ../../etc/passwd; must be a time zone such as Asia/Taipei",
    ),
    "a batch path without a slash": (
        ("mode: paper", "ace: {batch: {submit_path: open/v2/batch}}"),
        "pairs.yaml:1: ace.batch.submit_path: found open/v2/batch; "
        "must be a path that begins with /",
    ),
    "a profile that doesn't exist": (
        ("binance: BTCUSDT", "binance: BTCUSDT\n    profile: calm"),
        "pairs.yaml:7: pairs.BTC/TWD.profile: found calm; "
        "must be one of the profiles: none is configured",
    ),
}


@pytest.mark.parametrize("case", WRONG_VALUES)
def test_a_wrong_value_is_told_with_line_key_and_remedy(tmp_path: Path, case: str) -> None:
    (right, wrong), message = WRONG_VALUES[case]
    assert GOOD.count(right) >= 1
    assert _problems(tmp_path, GOOD.replace(right, wrong, 1)) == [message]


WRONG_FILES = {
    "empty": ("", "pairs.yaml: is empty; must hold settings, at least pairs"),
    "comments alone": ("# soon\n", "pairs.yaml: is empty; must hold settings, at least pairs"),
    "nothing": ("~\n", "pairs.yaml: is empty; must hold settings, at least pairs"),
    "a list": ("\n- BTC/TWD\n", "pairs.yaml:2: must hold keys with values"),
    "a word": ("paper", "pairs.yaml:1: must hold keys with values"),
    "a tab": ("pairs:\n\tBTC/TWD: {}\n", "pairs.yaml:2: has a tab; indent with spaces"),
    "an open bracket": (
        "pairs: {\n",
        "pairs.yaml:2: is not YAML: expected the node content, but found '<stream end>'",
    ),
    "two documents": (
        "mode: paper\n---\nmode: live\n",
        "pairs.yaml:2: is not YAML: but found another document",
    ),
    "a duplicate key": (
        "mode: paper\npairs: {}\nmode: live\n",
        "pairs.yaml:3: mode: duplicate key; first on line 1",
    ),
    "an alias": (
        "rates: &x {}\npairs: *x\n",
        "pairs.yaml:1: pairs: aliases (*) can't be used; use defaults or profiles",
    ),
    "a key that is a list": (
        "? [mode]\n: paper\n",
        "pairs.yaml:1: has a key that is not plain text",
    ),
    "no pairs": (
        "mode: paper\n",
        "pairs.yaml:1: pairs: not given; must be given, such as "
        "{BTC/TWD: {binance: BTCUSDT, quote: {amount: {min: 0.002, max: 0.01}}}}",
    ),
    "pairs without a pair": (
        "mode: paper\npairs:\n",
        "pairs.yaml:2: pairs: found nothing; must name at least one",
    ),
    "not UTF-8": (b"mode: \xff\n", "pairs.yaml: is not UTF-8 text"),
    "a control character": (
        b"mode: paper\n\x01",
        "pairs.yaml:2: has a character that YAML forbids",
    ),
    "an escape beyond Unicode": (
        'mode: "\\UFFFFFFFF"\n',
        "pairs.yaml: has a number or escape that YAML can't read",
    ),
    "deep nesting": ("pairs: " + "[" * 5000 + "]" * 5000, "pairs.yaml: is nested too deeply"),
    "some nesting": ("pairs: " + "[" * 40 + "]" * 40, "pairs.yaml:1: pairs: is nested too deeply"),
    "odd defaults": (
        GOOD + "defaults: 5\n",
        "pairs.yaml:11: defaults: found 5; must be a group of keys",
    ),
    "odd profiles": (
        GOOD + "profiles: [calm]\n",
        "pairs.yaml:11: profiles: found a list; must be a group of keys",
    ),
}


@pytest.mark.parametrize("case", WRONG_FILES)
def test_a_file_that_holds_no_settings_is_told_so(tmp_path: Path, case: str) -> None:
    text, message = WRONG_FILES[case]
    assert _problems(tmp_path, text) == [message]


def test_a_missing_file_a_folder_and_an_impossible_name_are_told(tmp_path: Path) -> None:
    for path, why in (
        (tmp_path / "none.yaml", "no such file"),
        (tmp_path, "can't be read: Is a directory"),
    ):
        with pytest.raises(ConfigError, match=re.escape(f"{path}: {why}")):
            load(path)
    with pytest.raises(ConfigError, match="is no possible file name"):
        load(Path("a\0b"))


def test_a_cross_follows_both_symbols(tmp_path: Path) -> None:
    cross = GOOD.replace("binance: BTCUSDT", "binance: BTCETH * ETHUSDT")
    (tmp_path / "pairs.yaml").write_text(cross)
    settings = load(tmp_path / "pairs.yaml")
    assert settings.feeds == {"BTCETH": 0, "ETHUSDT": 0}
    (chosen,) = settings.pairs.values()
    assert chosen.binance == Source("BTCETH", "ETHUSDT")
    assert PairSettings.model_validate_json(chosen.model_dump_json()) == chosen


def test_all_problems_are_told_at_once_from_top_to_bottom(tmp_path: Path) -> None:
    text = """\
mode: live
spervision: {}
rates:
  USDTTWD: {}
  USDT/TWD: {poll_s: x}
pairs:
  BTC/TWD:
    binance: BTCUSDT
    quote: {spread_bps: -1, jitter_bps: 9, amount: {min: 2, max: 1}}
    self_trade: {enabled: true}
  ETH/TWD:
    quote: {amuont: {min: 1, max: 2}}
    self_trade: {enabled: true, method: both}
"""
    lines = [problem.split(":")[1] for problem in _problems(tmp_path, text)]
    assert lines == ["2", "4", "5", "9", "9", "9", "10", "11", "12", "13", "13"]


def test_what_rests_on_a_wrong_value_is_not_judged(tmp_path: Path) -> None:
    """The default step would make this jitter wrong, but the step is merely misspelt."""
    text = GOOD.replace("spread_bps: 20", "jitter_bps: 8\n      stpe_bps: 20")
    assert _problems(tmp_path, text) == [
        "pairs.yaml:9: pairs.BTC/TWD.quote: unknown key 'stpe_bps'; did you mean 'step_bps'?"
    ]


def test_an_unknown_key_without_a_likeness_gets_the_list_of_known_ones(tmp_path: Path) -> None:
    [problem] = _problems(tmp_path, GOOD.replace("enabled: false", "zzz: 1"))
    assert problem.startswith("pairs.yaml:10: pairs.BTC/TWD.self_trade: unknown key 'zzz'; known")
    assert "volume_threshold" in problem


def test_no_message_repeats_the_value_of_an_unknown_key(tmp_path: Path) -> None:
    [problem] = _problems(tmp_path, GOOD + "ace: {api_secret: hunter2}\n")
    assert "hunter2" not in problem


def test_numbers_are_exact_as_written(tmp_path: Path) -> None:
    text = GOOD.replace("0.002", "0.1").replace("0.01}", "0.30000000000000004}")
    amount = _load(tmp_path, text).pairs[BTC].quote.amount
    assert str(amount.min) == "0.1"
    assert str(amount.max) == "0.30000000000000004"


def test_a_pair_is_one_pair_however_it_is_written(tmp_path: Path) -> None:
    settings = _load(tmp_path, GOOD.replace("BTC/TWD", "btc_twd").replace("USDT/TWD", "usdt_twd"))
    assert list(settings.pairs) == [BTC]
    assert settings.rate_of(BTC) == Pair("USDT", "TWD")


def test_a_group_whose_keys_are_all_commented_out_keeps_its_defaults(tmp_path: Path) -> None:
    text = GOOD.replace("self_trade: {enabled: false}", "self_trade:").replace(": {}", ":")
    settings = _load(tmp_path, text + "supervision:\nace:\n")
    assert settings.supervision.stall_limit_s == 1
    assert not settings.pairs[BTC].self_trade.enabled


LAYERED = """\
defaults:
  clean_start: all
  quote: {spread_bps: 11, step_bps: 12, levels: 3, amount: {min: 1, max: 2}}
profiles:
  calm:
    quote: {spread_bps: 21, levels: 4}
rates: {USDT/TWD: {}}
pairs:
  BTC/TWD:
    profile: calm
    binance: BTCUSDT
    quote: {levels: 5}
  ETH/TWD:
    binance: ETHUSDT
    quote: {amount: {max: 9}}
"""


def test_a_pair_counts_before_its_profile_and_the_profile_before_the_defaults(
    tmp_path: Path,
) -> None:
    pairs = _load(tmp_path, LAYERED).pairs
    btc, eth = pairs[BTC].quote, pairs[ETH].quote
    assert (btc.levels, btc.spread_bps, btc.step_bps) == (5, 21, 12)
    assert (eth.levels, eth.spread_bps, eth.step_bps) == (3, 11, 12)
    assert (eth.amount.min, eth.amount.max) == (1, 9)
    assert pairs[BTC].clean_start.value == "all"


def test_an_error_points_to_the_line_where_the_value_stands(tmp_path: Path) -> None:
    text = LAYERED.replace("step_bps: 12", "step_bps: x").replace("spread_bps: 21", "spread_bps: y")
    assert _problems(tmp_path, text) == [
        "pairs.yaml:3: defaults.quote.step_bps: found x; must be a number",
        "pairs.yaml:6: profiles.calm.quote.spread_bps: found y; must be a number",
    ]


def test_a_fault_between_layers_is_told_once_where_the_wrong_value_stands(tmp_path: Path) -> None:
    text = LAYERED.replace("levels: 3", "jitter_bps: 6")
    assert _problems(tmp_path, text) == [
        "pairs.yaml:3: defaults.quote.jitter_bps: found 6; "
        "must be less than half of step_bps, which is 12"
    ]


def test_a_profile_that_no_pair_uses_is_checked_too(tmp_path: Path) -> None:
    text = LAYERED.replace("rates:", "  wild:\n    qoute: {}\nrates:")
    assert _problems(tmp_path, text) == [
        "pairs.yaml:8: profiles.wild: unknown key 'qoute'; did you mean 'quote'?"
    ]


def test_the_shipped_file_loads_in_paper_mode_and_is_whole() -> None:
    settings = load(ROOT / "conf" / "pairs.yaml")
    assert settings.mode is Mode.PAPER
    assert settings.feeds == {"BTCUSDT": 0, "ETHUSDT": 0}
    assert not any(pair.self_trade.enabled for pair in settings.pairs.values())
    assert settings.pairs[BTC].quote.amount.min == Decimal("0.002")
    assert settings.ace_url is settings.stream_url is settings.rest_url is None


@pytest.mark.parametrize("mode", ["testnet", "live"])
def test_the_shipped_file_goes_to_other_modes_as_its_comments_say(
    tmp_path: Path, mode: str
) -> None:
    text = (ROOT / "conf" / "pairs.yaml").read_text().replace("\nmode: paper", f"\nmode: {mode}")
    if mode == "testnet":
        text = text.replace("# base_url: https://...", "base_url: https://test.example/polarisex")
    settings = _load(tmp_path, text)
    assert settings.ace_url == {
        "testnet": "https://test.example/polarisex",
        "live": "https://ace.io/polarisex",
    }.get(mode)
    assert settings.stream_url == "wss://stream.binance.com:9443"


def test_every_commented_line_of_the_shipped_file_is_right_when_uncommented(
    tmp_path: Path,
) -> None:
    """Lines that begin with `# ` and a key are offers; they must work when they are taken."""
    text = (ROOT / "conf" / "pairs.yaml").read_text().replace("/...", "/x")
    offered = re.sub(
        r"^( *)# ((?: *)(?:binance|profiles|wide|stream_url|rest_url|quote|batch|submit_path"
        r"|cancel_path):)",
        r"\1\2",
        text,
        flags=re.MULTILINE,
    )
    assert offered != text
    settings = _load(tmp_path, offered)
    assert settings.ace.batch.submit_path == "/x"
    assert settings.binance.stream_url == "wss://data-stream.binance.vision"


_KEYS = ["mode", "pairs", "rates", "defaults", "profiles", "BTC/TWD", "quote", "amount", "min",
         "max", "levels", "profile", "binance", "rate", "ace", "base_url", "x"]  # fmt: skip
_LEAVES = st.one_of(
    st.none(), st.text(max_size=8), st.integers(), st.floats(), st.booleans(),
    st.sampled_from(["paper", "live", "BTCUSDT", "USDT/TWD", "-1", "1e999999", "0x1", "1:30"]),
)  # fmt: skip
_TREES = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(_KEYS), inner, max_size=5)
    ),
    max_leaves=20,
)


def _never_another_error(folder: Path, text: str) -> None:
    path = folder / "any.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        load(path)
    except ConfigError as error:
        problems = error.problems
    else:
        return
    assert problems
    assert all(problem.startswith(str(path)) for problem in problems)
    assert not any("\n" in problem for problem in problems)


@given(text=st.text(max_size=200) | st.text(alphabet="ab:{}[]-?&*!|>'\"%@`#,\n\t 1.", max_size=60))
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_text_is_loaded_or_told_wrong(tmp_path: Path, text: str) -> None:
    _never_another_error(tmp_path, text)


@given(tree=st.dictionaries(st.sampled_from(_KEYS), _TREES, max_size=5))
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_tree_is_loaded_or_told_wrong(tmp_path: Path, tree: dict[str, object]) -> None:
    _never_another_error(tmp_path, yaml.safe_dump(tree, allow_unicode=True))


@given(cut=st.integers(0, 4000), length=st.integers(0, 30), junk=st.text(max_size=5))
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_slip_in_the_shipped_file_is_loaded_or_told(
    tmp_path: Path, cut: int, length: int, junk: str
) -> None:
    text = (ROOT / "conf" / "pairs.yaml").read_text()
    _never_another_error(tmp_path, text[:cut] + junk + text[cut + length :])
