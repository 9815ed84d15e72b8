"""The client for synchronous processes, over requests. One thread at a time may use it.

It never sends a request twice of its own accord, but for one case: a request that the venue
refused at once for its time stamp, when the refusal itself showed that our idea of its clock was
wrong.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import requests
from requests.adapters import HTTPAdapter
from urllib3 import exceptions as urllib3
from urllib3.util.retry import Retry

from mmd.venues.ace import batch
from mmd.venues.ace.clock import Attempt, local_clock
from mmd.venues.ace.endpoint import AceEndpoint
from mmd.venues.ace.protocol import TIME_HEADER, Call, build, finish, no_clear_answer
from mmd.venues.ace.script import Script, play
from mmd.words.errors import KeyRejected, MmdError, Unavailable
from mmd.words.market import MarketRules, NewOrder

T = TypeVar("T")


class AceClient:
    """Carries calls to the venue over warm connections."""

    def __init__(self, endpoint: AceEndpoint) -> None:
        self.endpoint = endpoint
        self.clock = local_clock()
        self._session = _session(endpoint)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._session.close()

    def call(self, call: Call[T]) -> T:
        """Asks the venue. Raises what `finish` raises; Unavailable when nothing was sent; and
        when the answer is lost, OutcomeUnknown or, where nothing is executed, Unavailable."""
        attempt = Attempt(self.clock, time.monotonic_ns())
        try:
            return self._send(call)
        except KeyRejected as error:
            attempt.require_wrong_clock(error, time.monotonic_ns())
        return self._send(call)

    def run(self, script: Script[T], sleep: Callable[[float], None] = time.sleep) -> T:
        """Plays a script of several calls."""
        return play(self, script, sleep)

    def submit_batch_order(
        self, rules: MarketRules, orders: Sequence[NewOrder]
    ) -> list[str | MmdError]:
        """Places orders, together where the venue allows; see `batch.submit`."""
        return self.run(batch.submit(self.endpoint, rules, orders))

    def cancel_batch_orders(self, order_numbers: Sequence[str]) -> list[MmdError | None]:
        """Cancels orders, together where the venue allows; see `batch.cancel`."""
        return self.run(batch.cancel(self.endpoint, order_numbers))

    def _send(self, call: Call[T]) -> T:
        sent_ns = time.monotonic_ns()
        request = build(call, self.endpoint, self.clock.venue_ms(sent_ns))
        try:
            reply = self._session.request(
                request.method,
                request.url,
                data=request.body,
                headers=request.headers,
                timeout=self.endpoint.timeout_s,
                allow_redirects=False,
            )
        except (OSError, urllib3.HTTPError) as error:
            # requests' own errors are OSErrors. Their texts may quote the form: keep them out.
            raise _failure(call, error) from None
        self.clock.observe(sent_ns, time.monotonic_ns(), reply.headers.get(TIME_HEADER))
        return finish(call, reply.status_code, reply.headers, reply.content)


def _session(endpoint: AceEndpoint) -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # else the environment and .netrc are read for each request
    proxy = endpoint.proxy()
    if proxy is not None:
        session.proxies = {"http": proxy, "https": proxy}
    adapter = _Adapter(endpoint.ssl_context())
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


class _Adapter(HTTPAdapter):
    """Trusts what the endpoint says, and never sends again."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        super().__init__(max_retries=Retry(0, read=False))

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)


def _failure(call: Call[Any], error: Exception) -> MmdError:
    what = type(error).__name__
    if _nothing_was_sent(error):
        return Unavailable(f"{call.kind}: the venue can't be reached: {what}")
    return no_clear_answer(call, what)


def _nothing_was_sent(error: Exception) -> bool:
    """Whether it failed before the request was written: in reaching, or in proving who it is."""
    if isinstance(error, requests.ConnectTimeout):
        return True
    wrapped = error.args[0] if error.args else None
    reason = getattr(wrapped, "reason", wrapped)
    if isinstance(reason, (urllib3.NewConnectionError, urllib3.ConnectTimeoutError)):
        return True
    if isinstance(reason, urllib3.SSLError):
        reason = reason.args[0] if reason.args else None
    return isinstance(reason, ssl.SSLCertVerificationError)
