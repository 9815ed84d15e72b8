"""`mmd notify test`: whether alerts arrive."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable

from mmd.processes.notifier.channels import Channel
from mmd.processes.notifier.digest import Digest, Pace
from mmd.records.alerts import Alert, Kind
from mmd.words.errors import Unavailable

NOBODY = (
    "nobody is told: set MMD_ALERT_URLS or MMD_ALERT_WEBHOOK in the environment or in "
    "conf/secrets.env; conf/pairs.yaml says how, under alerts"
)


def test(channels: Iterable[Channel]) -> list[tuple[str, str]]:
    """Sends a test message to each; name and what went wrong, '' if nothing did."""
    digest = Digest(Pace(0, 0, 0), f"mmd on {socket.gethostname()}")
    alert = Alert(Kind.TEST, "mmd", "this is what alerts look like", int(time.time() * 1000))
    digest.take([alert], 0)
    message = digest.message()
    assert message is not None
    results = []
    for channel in channels:
        try:
            channel.send(message)
        except Unavailable as error:
            results.append((channel.name, str(error)))
        else:
            results.append((channel.name, ""))
    return results
