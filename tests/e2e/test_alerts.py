"""The whole of mmd, with people to be told: what happens to it reaches them, and no secret does.

Overflows and differences of the account come about too slowly for this test: what finds them, the
watchman and the notifier are tested for them on their own.
"""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
import requests

from chaos.proof import secrets_shown
from mmd.config.paths import Paths
from mmd.config.risk import KillLevel
from mmd.config.secrets import PAPER_KEY
from mmd.decide.killswitch import Thrown
from mmd.records import killed
from tests.alerts.receiver import Receiver, receiver
from tests.e2e.conftest import House

pytestmark = pytest.mark.timeout(180)

HOOK_SECRET = "hook-s3cr3t-8f2a"
URL_SECRET = "url-s3cr3t-77b1"
WEB_TOKEN = "page-token-s3cr3t-42"
SECRETS = (HOOK_SECRET, URL_SECRET, WEB_TOKEN, PAPER_KEY.secret)
PROMPT = {"group_s": 0, "pause_s": 0, "stale_price_s": 1}
WORRIED = {"min_disk_mb": 10**6, "min_balances": {"TWD": 10**12}}

Told = tuple[str, str, bool]
KILLED: set[Told] = {
    ("kill switch", "pairs:eth_twd", False),
    ("parked", "pairs:eth_twd", False),
}
STRUCK = KILLED | {
    ("stall", "pairs:btc_twd", False),
    ("stale price", "feeds:ethusdt", False),
    ("balance low", "TWD", False),
    ("disk full", "mmd", False),
}
OVER = {(kind, subject, True) for kind, subject, _ in STRUCK}


def _wait(holds: Callable[[], object], what: Callable[[], object], patience_s: float = 20) -> None:
    until_s = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < until_s, f"never: {what()}"
        time.sleep(0.05)


def _told(heard: Receiver) -> set[Told]:
    return {(a["kind"], a["subject"], a["is_recovery"]) for a in heard.alerts}


def _hear(heard: Receiver, wanted: set[Told]) -> None:
    _wait(lambda: wanted <= _told(heard), lambda: f"{wanted - _told(heard)} of {heard.alerts}")


def _configure(house: House, **alerts: Any) -> None:
    house.configure(
        ace={"settle_s": 0.1},
        alerts=PROMPT | alerts,
        web={"port": 0},
    )


def _binance(house: House, fault: dict[str, object]) -> None:
    port = house.world()["binance_port"]
    answer = requests.post(f"http://127.0.0.1:{port}/sim/faults", json=fault, timeout=5)
    assert answer.ok, answer.text


def _strike(house: House) -> str:
    """All troubles at once; what the status said before."""
    status = house.ok("status", "--json")
    pid = next(row["pid"] for row in json.loads(status)["pairs"] if row["pair"] == "BTC/TWD")
    os.kill(pid, signal.SIGSTOP)
    _binance(house, {"fault": "refuse", "status": 503, "for_s": 2.5})
    _binance(house, {"fault": "drop", "symbol": "ETHUSDT"})
    latch = killed.latch_of(Paths(house.home).records, "eth_twd")
    killed.throw(latch, Thrown(KillLevel.STOP, "lost too much"), 0)
    return status


def test_people_hear_of_every_trouble_and_its_end_and_of_no_secret(house: House) -> None:
    _configure(house, **WORRIED)
    with receiver() as hook, receiver() as service:
        house.environ |= {
            "MMD_ALERT_WEBHOOK": f"http://127.0.0.1:{hook.port}/{HOOK_SECRET}",
            "MMD_ALERT_URLS": f"json://u:{URL_SECRET}@127.0.0.1:{service.port}/",
            "MMD_WEB_TOKEN": WEB_TOKEN,
        }
        said = [house.ok("start", "--web")]
        _hear(hook, {("start", "mmd", False)})
        said += [_page(house, "/metrics"), _page(house, "/")]
        assert "Page: http://127.0.0.1:" in said[0]
        assert "mmd_up 1.0" in said[1]

        said.append(_strike(house))
        _hear(hook, KILLED)
        said.append(house.ok("resume", "eth_twd"))
        _hear(hook, STRUCK)
        said.append(_page(house, "/metrics"))
        _configure(house)
        said.append(house.ok("reload"))
        _hear(hook, OVER)

        said.append(house.ok("stop"))
        _hear(hook, {("stop", "mmd", False)})
        for once in ("start", "disk full", "stop"):
            told = [a for a in hook.alerts if a["kind"] == once and not a["is_recovery"]]
            assert len(told) == 1, "nothing is told twice, whoever was restarted"
        kinds = {kind for kind, _, _ in STRUCK}
        texts = "\n".join(body["message"] for body in service.bodies)
        assert all(kind in texts for kind in kinds)
        said += [str(body) for body in (*hook.bodies, *service.bodies)]
    assert secrets_shown(house.home, SECRETS, said) == []


def _page(house: House, path: str) -> str:
    address = (house.home / "run/web.address").read_text().strip()
    asked = urllib.request.Request(address + path, headers={"Authorization": f"Bearer {WEB_TOKEN}"})
    with urllib.request.urlopen(asked, timeout=5) as answer:
        text: str = answer.read().decode()
        return text
