"""One life of one reader: started, connected, warmed up, measured from outside, ended."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.environment import BARE_CUT, Reader, command, environment
from bench.market import Market, Message, joined
from bench.memory import Memory
from bench.stream import Sender
from mmd.cells.layouts import BOOK, BookCell, StateCell
from mmd.sim.tls import LoopbackCertificate

_PATIENCE_S = 60.0
_LOOK_EVERY_S = 0.0002
WARM_UP = 300
"""Messages that are sent before anything is measured."""


class ReaderFailed(Exception):
    """A reader did not do its job; the text says what is known."""


@dataclass(frozen=True)
class Trust:
    """What wss needs on both sides."""

    server: ssl.SSLContext
    ca_file: Path


@contextmanager
def trust() -> Iterator[Trust]:
    """A certificate made on the spot."""
    certificate = LoopbackCertificate()
    with tempfile.TemporaryDirectory() as folder:
        ca_file = Path(folder) / "ca.pem"
        ca_file.write_bytes(certificate.authority_pem)
        yield Trust(certificate.server_context(), ca_file)


def cpu_ns(pid: int) -> int:
    """CPU time that another process has taken, user and system, all threads (Linux)."""
    return time.clock_gettime_ns((~pid << 3) | 2)


@dataclass
class Life:
    """A reader that is connected and has nothing to do."""

    reader: Reader
    process: subprocess.Popen[bytes]
    memory: Memory
    sender: Sender
    market: Market
    at: int = 0
    """The next message to be sent."""
    _cell: BookCell | None = None

    def take(self, count: int) -> Sequence[Message]:
        """The next messages, which count as sent."""
        messages = self.market.messages[self.at : self.at + count]
        self.at += count
        return messages

    def progress(self) -> tuple[int, int]:
        """Newest update id and trade id that are published."""
        if not self.reader.is_mmd:
            return self.memory.progress()
        self._cell = self._cell or StateCell(BOOK, self.memory.buffer, 0)
        state = self._cell.read()
        return state.update_id, state.last_trade_id

    def expected(self) -> tuple[int, int]:
        """What `progress` says once everything that was sent is published."""
        if self.reader is BARE_CUT:
            return self.at, 0
        sent = self.market.messages[: self.at]
        update_id = next((m.update_id for m in reversed(sent) if m.update_id), 0)
        return update_id, next((m.trade_id for m in reversed(sent) if m.trade_id), 0)

    def wait(self) -> int:
        """Waits until all is published; returns when that was seen. Raises ReaderFailed."""
        expected, deadline_s = self.expected(), time.monotonic() + _PATIENCE_S
        while self.progress() != expected:
            if self.process.poll() is not None:
                raise ReaderFailed(f"it ended: {self._last_words()}")
            if time.monotonic() > deadline_s:
                raise ReaderFailed(f"it is at {self.progress()} instead of {expected}")
            time.sleep(_LOOK_EVERY_S)
        return time.monotonic_ns()

    def published_ns(self) -> int:
        """When the reader had published the last message, by its own stamp, which comes a moment
        after what it tells of. Raises ReaderFailed."""
        expected, deadline_s = self.expected(), time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline_s:
            for *ids, at_ns in self.memory.stamps():
                if tuple(ids) == expected:
                    return at_ns
            time.sleep(_LOOK_EVERY_S)
        raise ReaderFailed("it did not stamp what it published")

    def frames(self, messages: Sequence[Message]) -> bytes:
        return joined(messages, self.reader.aggregated)

    def start_stamping(self) -> None:
        """From here on it logs when it published what."""
        self.process.send_signal(signal.SIGUSR1)
        time.sleep(0.1)

    def _last_words(self) -> str:
        text = self.process.stderr.read() if self.process.stderr else b""
        lines = text.decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:160] if lines else f"exit code {self.process.returncode}"


@contextmanager
def life(
    reader: Reader, market: Market, trusted: Trust | None, interpreter: str | None = None
) -> Iterator[Life]:
    """A reader from its start to its end, warmed up. Raises ReaderFailed."""
    if reader.needs_tls and trusted is None:
        raise ReaderFailed("it takes wss addresses only")
    with tempfile.TemporaryDirectory() as folder, Sender(trusted and trusted.server) as sender:
        path = Path(folder) / "memory"
        memory = Memory(path)
        arguments = [
            *command(reader, interpreter),
            sender.url,
            str(path),
            market.symbol,
            *reader.options,
        ]
        with subprocess.Popen(
            arguments,
            env=environment(trusted.ca_file if trusted else None),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        ) as process:
            one = Life(reader, process, memory, sender, market)
            try:
                try:
                    sender.accept()
                except (OSError, ValueError, KeyError) as error:
                    process.kill()
                    raise ReaderFailed(f"no handshake: {error}; {one._last_words()}") from error
                sender.send(one.frames(one.take(WARM_UP)))
                one.wait()
                time.sleep(0.3)
                yield one
            finally:
                process.kill()
                process.wait()
                if one._cell is not None:
                    one._cell.close()
                memory.close()


def nproc() -> int:
    return len(os.sched_getaffinity(0))
