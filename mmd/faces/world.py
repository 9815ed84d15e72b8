"""The outside world that a configuration means: real hosts, or the simulated ones of paper mode."""

from __future__ import annotations

from dataclasses import dataclass

from mmd.config.model import Mode, Settings
from mmd.config.secrets import AceKey
from mmd.sim.paper import PaperAddress
from mmd.venues.ace.endpoint import AceEndpoint
from mmd.words.errors import Unavailable


@dataclass(frozen=True)
class World:
    """Where the processes connect to."""

    stream_url: str
    rest_url: str
    ace: AceEndpoint


def needs_paper(settings: Settings) -> bool:
    """Whether anything of this configuration is simulated."""
    return settings.mode is Mode.PAPER and None in (
        settings.stream_url,
        settings.rest_url,
        settings.ace_url,
    )


def resolve(settings: Settings, key: AceKey, paper: PaperAddress | None) -> World:
    """The hosts of a configuration. Raises Unavailable when the simulated world is needed and
    does not run."""
    stream_url, rest_url, ace_url = settings.stream_url, settings.rest_url, settings.ace_url
    if stream_url is None or rest_url is None or ace_url is None:
        if paper is None:
            raise Unavailable("the simulated world of paper mode does not run: use `mmd start`")
        stream_url = stream_url or paper.stream_url
        rest_url = rest_url or paper.rest_url
        ace_url = ace_url or paper.ace_url
    return World(stream_url, rest_url, ace_endpoint(settings, key, ace_url))


def ace_endpoint(settings: Settings, key: AceKey, ace_url: str) -> AceEndpoint:
    """The venue as the clients need it."""
    batch = settings.ace.batch
    return AceEndpoint(
        base_url=ace_url.rstrip("/"),
        key=key,
        timeout_s=settings.ace.timeout_s,
        submit_path=batch.submit_path,
        cancel_path=batch.cancel_path,
        max_orders=batch.max_orders,
    )
