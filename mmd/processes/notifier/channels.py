"""The services that carry a message: apprise's, and a plain webhook.

An address holds secrets: it is shown by its scheme alone, in errors and logs too.
"""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

import requests

from mmd.config.secrets import AlertTargets, Secret
from mmd.processes.notifier.digest import Message
from mmd.words.errors import ConfigError, Unavailable

_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Channel:
    """One address."""

    name: str
    """For people: `line`, `webhook`."""
    mark: str
    """Names its files; says nothing of its address."""
    send: Callable[[Message], None]
    """Blocks until the message was taken. Raises Unavailable, and can be tried again."""


def channels(targets: AlertTargets) -> list[Channel]:
    """All addresses. Raises ConfigError for one that apprise does not understand."""
    found = [_apprise(number, url) for number, url in enumerate(targets.urls, 1)]
    if targets.webhook:
        found.append(_webhook(targets.webhook))
    return found


def _apprise(number: int, url: Secret) -> Channel:
    scheme = url.text.partition("://")[0]
    name = scheme if scheme.isalnum() else f"address {number}"
    service = _service(url)
    if service is None:
        raise ConfigError(
            f"MMD_ALERT_URLS: address {number} ({name}) is not one that apprise understands; "
            "see https://github.com/caronc/apprise/wiki"
        )
    service.socket_connect_timeout = service.socket_read_timeout = _TIMEOUT_S

    def send(message: Message) -> None:
        if not service.notify(body=message.body, title=message.title):
            raise Unavailable(f"{name} did not take the message")

    return Channel(name, _mark(url), send)


def _service(url: Secret) -> Any:
    """apprise's hand on an address; None for one that it does not understand.

    apprise takes a second and 20 MB to load: only who sends pays for it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of its own imports
        library = importlib.import_module("apprise")
        logging.getLogger("apprise").setLevel(logging.CRITICAL)  # its lines may show addresses
        return library.Apprise.instantiate(url.text, suppress_exceptions=True)


def _webhook(url: Secret) -> Channel:
    def send(message: Message) -> None:
        alerts = [{**asdict(alert), "kind": alert.kind.value} for alert in message.alerts]
        document = {"title": message.title, "text": message.body, "alerts": alerts}
        try:
            answer = requests.post(
                url.text, json=document, timeout=_TIMEOUT_S, allow_redirects=False
            )
        except requests.RequestException as error:
            raise Unavailable(f"the webhook is unreachable: {type(error).__name__}") from None
        if not answer.ok:
            raise Unavailable(f"the webhook answered {answer.status_code}")

    return Channel("webhook", _mark(url), send)


def _mark(url: Secret) -> str:
    return sha256(url.text.encode()).hexdigest()[:12]
