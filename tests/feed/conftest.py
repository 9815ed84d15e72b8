"""What every test of the feed starts from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.feed.running import Nest
from tests.venues_binance.wire import RestServer, StreamServer


@pytest.fixture
def nest(tmp_path: Path) -> Iterator[Nest]:
    nest = Nest(tmp_path)
    yield nest
    nest.close()


@pytest.fixture
def server() -> Iterator[StreamServer]:
    with StreamServer() as server:
        yield server


@pytest.fixture
def rest() -> Iterator[RestServer]:
    with RestServer() as rest:
        rest.set_depth(10)
        yield rest
