"""The wire: whole replies whatever comes between, nothing sent twice, nothing left open."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest
import uvloop

from mmd.venues.ace.protocol import Request, _form
from mmd.venues.ace.wire import NotReached, ReplyLost, Wire

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-RESPONSE-TIME: 7\r\n\r\ndone"
Talk = Callable[["Venue", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
RUNS = pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
Run = Callable[[Coroutine[Any, Any, None]], None]


class Venue:
    """A server that says what a test tells it to."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self.connections = 0
        self._served: set[asyncio.Task[None]] = set()
        self.requests: list[bytes] = []

    async def __aenter__(self) -> Wire:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.wire = Wire(f"http://127.0.0.1:{port}/base", None, 0.3)
        self.url = f"http://127.0.0.1:{port}/base/x"
        return self.wire

    async def __aexit__(self, *_: object) -> None:
        await self.wire.close()
        self._server.close()
        await self._server.wait_closed()
        await asyncio.gather(*self._served)  # what the server's side has open ends with it

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._served.add(task)
        try:
            await self._talk(self, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, RuntimeError):
            pass  # the client hung up; RuntimeError is uvloop's word for it
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def request(self, reader: asyncio.StreamReader) -> bytes:
        """The next request, head and body."""
        head = await reader.readuntil(b"\r\n\r\n")
        size = next((int(x[16:]) for x in head.split(b"\r\n") if x.startswith(b"Content-L")), 0)
        request = head + await reader.readexactly(size)
        self.requests.append(request)
        return request

    def post(self) -> Request:
        return Request("POST", self.url, b"a=1", {"Content-Type": "text/plain"})

    def get(self) -> Request:
        return Request("GET", self.url + "?a=1", None, {})


def answering(*pieces: bytes, pause_s: float = 0.0) -> Talk:
    """Answers every request with the same pieces, one after the other."""

    async def talk(
        venue: Venue, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while True:
            await venue.request(reader)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause_s)

    return talk


@RUNS
def test_a_request_is_written_as_the_venue_reads_it(run: Run) -> None:
    async def story() -> None:
        venue = Venue(answering(OK))
        async with venue as wire:
            reply = await wire.send(venue.post())
            assert (reply.status, bytes(reply.body)) == (200, b"done")
            assert reply.headers.get("x-response-time") == "7"
            await wire.send(venue.get())
        first, second = venue.requests
        assert first.startswith(b"POST /base/x HTTP/1.1\r\nHost: 127.0.0.1:")
        assert b"\r\nContent-Type: text/plain\r\n" in first
        assert first.endswith(b"\r\nContent-Length: 3\r\n\r\na=1")
        assert second.startswith(b"GET /base/x?a=1 HTTP/1.1\r\n")
        assert b"Content-Length" not in second
        assert venue.connections == 1

    run(story())


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\ndo\r\n2\r\nne\r\n0\r\n\r\n"


@RUNS
@pytest.mark.parametrize(
    "pieces",
    [
        [OK[:3], OK[3:40], OK[40:]],
        [bytes([byte]) for byte in OK],
        [CHUNKED],
        [b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK],
        [b"HTTP/1.1 100 Continue\r\n\r\n", OK],
    ],
    ids=["pieces", "bytes", "chunked", "hints", "continue"],
)
def test_a_reply_is_whole_however_it_comes(run: Run, pieces: list[bytes]) -> None:
    async def story() -> None:
        venue = Venue(answering(*pieces))
        async with venue as wire:
            for _ in range(2):
                reply = await wire.send(venue.post())
                assert (reply.status, bytes(reply.body)) == (200, b"done")
        assert venue.connections == 1

    run(story())


@RUNS
@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4", b"HTTP/1.1 200 OK"],
    ids=["announced", "unannounced"],
)
def test_a_connection_that_ends_is_not_used_again(run: Run, head: bytes) -> None:
    async def talk(
        venue: Venue, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await venue.request(reader)
        writer.write(head + b"\r\n\r\ndone")

    async def story() -> None:
        venue = Venue(talk)
        async with venue as wire:
            for _ in range(2):
                assert bytes((await wire.send(venue.post())).body) == b"done"
        assert venue.connections == 2

    run(story())


@RUNS
@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ndone",
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ],
    ids=["nothing", "half", "another protocol", "upgrade"],
)
def test_half_an_answer_is_none_and_an_order_is_not_repeated(run: Run, said: bytes) -> None:
    async def talk(
        venue: Venue, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await venue.request(reader)
        if len(venue.requests) == 1:
            writer.write(OK)  # so that the second one finds a warm connection
            await venue.request(reader)
        writer.write(said)

    async def story() -> None:
        venue = Venue(talk)
        async with venue as wire:
            await wire.send(venue.post())
            with pytest.raises(ReplyLost):
                await wire.send(venue.post())
        assert len(venue.requests) == 2

    run(story())


@RUNS
def test_a_question_is_repeated_once_where_the_warm_connection_was_closed(run: Run) -> None:
    async def talk(
        venue: Venue, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await venue.request(reader)
        writer.write(OK)
        if venue.connections == 1:
            await venue.request(reader)  # and hangs up

    async def story() -> None:
        venue = Venue(talk)
        async with venue as wire:
            await wire.send(venue.get())
            assert (await wire.send(venue.get())).status == 200
        assert len(venue.requests) == 3

    run(story())


@RUNS
def test_a_connection_closed_while_idle_is_replaced_before_anything_is_sent(run: Run) -> None:
    async def talk(
        venue: Venue, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await venue.request(reader)
        writer.write(OK)
        await writer.drain()

    async def story() -> None:
        venue = Venue(talk)
        async with venue as wire:
            for _ in range(3):
                assert (await wire.send(venue.post())).status == 200
                await asyncio.sleep(0.05)
        assert (venue.connections, len(venue.requests)) == (3, 3)

    run(story())


@RUNS
@pytest.mark.parametrize(
    ("pieces", "pause_s", "least_s", "most_s"),
    [([], 0.0, 0.25, 0.5), ([bytes([byte]) for byte in OK], 0.2, 0.5, 0.9)],
    ids=["silent", "dripping"],
)
def test_a_slow_reply_is_given_up_in_time(
    run: Run, pieces: list[bytes], pause_s: float, least_s: float, most_s: float
) -> None:
    async def story() -> None:
        venue = Venue(answering(*pieces, pause_s=pause_s))
        async with venue as wire:
            loop = asyncio.get_running_loop()
            began_s = loop.time()
            with pytest.raises(ReplyLost):
                await wire.send(venue.post())
            assert least_s < loop.time() - began_s < most_s

    run(story())


@RUNS
def test_a_cancelled_request_leaves_its_reply_to_nobody(run: Run) -> None:
    async def talk(
        venue: Venue, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while True:
            request = await venue.request(reader)
            await asyncio.sleep(0.1 if b"POST" in request else 0)
            writer.write(OK.replace(b"done", b"late") if b"POST" in request else OK)

    async def story() -> None:
        venue = Venue(talk)
        async with venue as wire:
            task = asyncio.create_task(wire.send(venue.post()))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert bytes((await wire.send(venue.get())).body) == b"done"
        assert venue.connections == 2

    run(story())


@RUNS
def test_requests_side_by_side_have_each_its_own_reply(run: Run) -> None:
    async def talk(
        venue: Venue, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while True:
            body = (await venue.request(reader)).rpartition(b"\r\n\r\n")[2]
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    async def story() -> None:
        venue = Venue(talk)
        async with venue as wire:
            for _ in range(2):
                bodies = [f"n={number}".encode() for number in range(20)]
                asked = [Request("POST", venue.url, body, {}) for body in bodies]
                replies = await asyncio.gather(*(wire.send(one) for one in asked))
                assert [bytes(reply.body) for reply in replies] == bodies
        assert venue.connections == 20

    run(story())


@RUNS
def test_where_nobody_listens_nothing_is_sent(run: Run) -> None:
    async def story() -> None:
        wire = Wire("http://127.0.0.1:9", None, 0.3)
        with pytest.raises(NotReached):
            await wire.send(Request("POST", "http://127.0.0.1:9/x", b"a", {}))
        await wire.close()

    run(story())


@pytest.mark.parametrize("value", ["61837.63", "mmd1-a_b~c", "a b", "ü", "a&b=c", "100%", '["1"]'])
def test_a_form_is_quoted_where_it_must_be(value: str) -> None:
    params = {"price": "1.5", "name": value}
    assert _form(params) == urlencode(params)
    assert parse_qs(_form(params)) == {"price": ["1.5"], "name": [value]}


@RUNS
def test_a_request_leaves_before_its_reply_is_awaited_where_a_connection_is_warm(run: Run) -> None:
    async def scenario() -> None:
        venue = Venue(answering(OK))
        async with venue as wire:
            await wire.send(venue.get())
            reply = wire.send(venue.post())
            async with asyncio.timeout(5):
                while len(venue.requests) < 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
            assert (await reply).body == b"done"
        assert venue.connections == 1

    run(scenario())
