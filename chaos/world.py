"""The two simulated venues, asked and spoiled over their control calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import requests

from mmd.sim import paper
from mmd.words.errors import Unavailable

_TIMEOUT_S = 10.0
_CHUNK = 5000


class World:
    """Control calls of the simulated Binance and the simulated ACE."""

    def __init__(self, home: Path) -> None:
        address = paper.address(home)
        if address is None:
            raise Unavailable("the simulated world has never run here")
        self._ace, self._binance = address.ace_control_url, address.rest_url
        self._session = requests.Session()

    def close(self) -> None:
        self._session.close()

    def report(self) -> dict[str, Any]:
        """What the venue's referee has seen."""
        found: dict[str, Any] = self._call("GET", f"{self._ace}/sim/report")
        return found

    def entries(self, after: int) -> list[dict[str, Any]]:
        """The venue's record after entry number `after`."""
        found: list[dict[str, Any]] = []
        while True:
            query = f"after={after}&limit={_CHUNK}"
            answer = self._call("GET", f"{self._ace}/sim/record?{query}")
            found += answer["entries"]
            after = answer["next"]
            if len(answer["entries"]) < _CHUNK:
                return found

    def break_venue(self, fault: dict[str, Any]) -> None:
        """Sets a fault on the exchange."""
        self._call("POST", f"{self._ace}/sim/faults", fault)

    def strike_streams(self, fault: dict[str, Any]) -> None:
        """Strikes Binance's streams."""
        self._call("POST", f"{self._binance}/sim/faults", fault)

    def heal(self) -> None:
        """Ends all that lasts."""
        self._call("DELETE", f"{self._ace}/sim/faults")
        self.strike_streams({"fault": "heal"})

    def _call(self, method: str, url: str, body: dict[str, Any] | None = None) -> Any:
        answer = self._session.request(method, url, json=body, timeout=_TIMEOUT_S)
        if not answer.ok:
            raise ValueError(f"{method} {url} {body}: {answer.text}")
        return answer.json() if answer.content else None
