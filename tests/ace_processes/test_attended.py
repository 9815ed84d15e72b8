"""A venue that drips, and the end of the process, while a call is under way."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from mmd.config.secrets import PAPER_KEY
from mmd.processes.attended import AttendedClient, Leave
from mmd.venues.ace import calls
from mmd.venues.ace.endpoint import AceEndpoint
from mmd.words.errors import OutcomeUnknown, Unavailable
from tests.ace_processes.conftest import House


@pytest.fixture
def drip() -> Iterator[AceEndpoint]:
    """A server that sends a byte of a reply now and then, so that no read times out."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                while not over.wait(0.02):
                    connection.sendall(b" ")
            except OSError:
                return  # the client has had enough

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield AceEndpoint(f"http://127.0.0.1:{listener.getsockname()[1]}", PAPER_KEY, timeout_s=0.1)
    over.set()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def test_a_reply_that_never_ends_is_given_up(house: House, drip: AceEndpoint) -> None:
    with closing(AttendedClient(drip, house.context)) as client:
        began = time.monotonic()
        with pytest.raises(Unavailable):
            client.call(calls.balances())
        assert 1.0 < time.monotonic() - began < 3.0
        with pytest.raises(OutcomeUnknown):
            client.call(calls.cancel("1"))


def test_a_process_that_is_asked_to_leave_does_not_wait_for_the_venue(
    house: House, drip: AceEndpoint
) -> None:
    with closing(AttendedClient(drip, house.context)) as client:
        threading.Timer(0.1, house.context.stop.request).start()
        began = time.monotonic()
        with pytest.raises(Leave):
            client.call(calls.balances())
        assert time.monotonic() - began < 0.6
        with pytest.raises(Leave):
            client.pause(10)


def test_a_dead_parent_is_noticed_in_a_pause(house: House, drip: AceEndpoint) -> None:
    parent = subprocess.Popen(["sleep", "60"])
    pidfd = os.pidfd_open(parent.pid)
    try:
        link = replace(house.context.parent, pid=parent.pid, pidfd=pidfd)
        context = replace(house.context, parent=link)
        with closing(AttendedClient(drip, context)) as client:
            client.pause(0.01)
            parent.kill()
            began = time.monotonic()
            with pytest.raises(Leave):
                client.pause(10)
            assert time.monotonic() - began < 1.0
    finally:
        parent.kill()
        parent.wait()
        os.close(pidfd)
