"""The whole of mmd, with people to be told: what happens to it reaches them, and no secret does."""

from __future__ import annotations

import os
import signal
import time
import urllib.request
from collections.abc import Callable

import pytest
import requests

from tests.alerts.receiver import Receiver, receiver
from tests.e2e.conftest import House

pytestmark = pytest.mark.timeout(180)

HOOK_SECRET = "hook-s3cr3t-8f2a"
URL_SECRET = "url-s3cr3t-77b1"
WEB_TOKEN = "page-token-s3cr3t-42"
KEY_SECRET = "paper-secret"
SECRETS = (HOOK_SECRET, URL_SECRET, WEB_TOKEN, KEY_SECRET)


def _wait(holds: Callable[[], bool], what: str, patience_s: float = 20.0) -> None:
    until_s = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < until_s, f"never: {what}"
        time.sleep(0.05)


def _kinds(heard: Receiver) -> set[tuple[str, str, bool]]:
    return {(a["kind"], a["subject"], a["is_recovery"]) for a in heard.alerts}


def _pid(house: House, name: str) -> int:
    groups = house.status()
    rows = {f"pairs:{p['pair'].lower().replace('/', '_')}": p for p in groups["pairs"]}
    rows |= {f"feeds:{f['symbol'].lower()}": f for f in groups["feeds"]}
    return int(rows[name]["pid"])


def test_people_hear_of_start_stall_stale_price_and_stop_and_of_no_secret(house: House) -> None:
    house.configure(
        alerts={"group_s": 0, "pause_s": 0, "stale_price_s": 2},
        web={"enabled": True, "port": 0},
    )
    with receiver() as hook, receiver() as service:
        house.environ |= {
            "MMD_ALERT_WEBHOOK": f"http://127.0.0.1:{hook.port}/{HOOK_SECRET}",
            "MMD_ALERT_URLS": f"json://u:{URL_SECRET}@127.0.0.1:{service.port}/",
            "MMD_WEB_TOKEN": WEB_TOKEN,
        }
        house.ok("start")
        _wait(lambda: ("start", "mmd", False) in _kinds(hook), "start")
        page = house.ok("web").split()[0]
        metrics = urllib.request.Request(
            f"{page}/metrics", headers={"Authorization": f"Bearer {WEB_TOKEN}"}
        )
        with urllib.request.urlopen(metrics, timeout=5) as answer:
            assert b"mmd_up 1.0" in answer.read()

        os.kill(_pid(house, "pairs:btc_twd"), signal.SIGSTOP)
        _wait(lambda: ("stall", "pairs:btc_twd", False) in _kinds(hook), "stall")
        _wait(lambda: ("stall", "pairs:btc_twd", True) in _kinds(hook), "end of the stall")

        house.ok("restart", "jobs:notifier")
        _strike(house, {"fault": "refuse", "status": 503, "for_s": 6})
        _strike(house, {"fault": "drop", "symbol": "ETHUSDT"})
        _wait(lambda: ("stale price", "feeds:ethusdt", False) in _kinds(hook), "stale price")
        _wait(lambda: ("stale price", "feeds:ethusdt", True) in _kinds(hook), "its end")

        house.ok("stop")
        assert ("stop", "mmd", False) in _kinds(hook)
        starts = [alert for alert in hook.alerts if alert["kind"] == "start"]
        assert len(starts) == 1, "nothing is told twice, whoever was restarted"
        assert {"stall", "stale price"} <= {
            word for body in service.bodies for word in ("stall", "stale price")
            if word in body["message"]
        }  # fmt: skip
        shown = [str(body) for body in (*hook.bodies, *service.bodies)]
    for path in house.home.rglob("*"):
        if path.is_file() and path.name != "pairs.yaml":
            shown.append(path.read_bytes().decode("utf-8", "replace"))
    for secret in SECRETS:
        assert not any(secret in text for text in shown), f"{secret} was shown"


def _strike(house: House, fault: dict[str, object]) -> None:
    port = _binance_port(house)
    answer = requests.post(f"http://127.0.0.1:{port}/sim/faults", json=fault, timeout=5)
    assert answer.ok, answer.text


def _binance_port(house: House) -> int:
    address = (house.home / "paper/address.json").read_text()
    return int(address.split('"binance_port":')[1].split(",")[0].split("}")[0])
