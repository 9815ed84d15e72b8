"""The JSON commands of a stream connection. Pure: command in, answer out.

Source: binance-spot-api-docs, web-socket-streams.md, "Live Subscribing/Unsubscribing to streams".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import orjson

METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
_ID_TEXT = re.compile(r"[0-9A-Za-z]{1,36}")
_INT64 = 1 << 63


class CommandError(Exception):
    """What is wrong with a command, as the venue words it."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True)
class Subscriptions:
    """What one connection listens to, and in which form."""

    combined: bool
    max_streams: int
    streams: dict[str, None] = field(default_factory=dict)
    """Ordered as subscribed."""

    def add(self, streams: list[str]) -> None:
        """Raises CommandError when the connection would have too many."""
        wanted = self.streams | dict.fromkeys(stream for stream in streams if stream)
        if len(wanted) > self.max_streams:
            raise CommandError(2, f"Invalid request: more than {self.max_streams} streams")
        self.streams = wanted

    def answer(self, text: bytes) -> bytes:
        """Carries a command out and gives the reply to it."""
        request_id: Any = None
        try:
            request = _parse(text)
            request_id = _request_id(request)
            result = self._run(request)
        except CommandError as error:
            reply = {"code": error.code, "msg": str(error)}
            return orjson.dumps(reply if request_id is None else reply | {"id": request_id})
        return orjson.dumps({"result": result, "id": request_id})

    def _run(self, request: dict[str, Any]) -> Any:
        if "method" not in request:
            raise CommandError(2, "Invalid request: missing field `method` at line 1 column 1")
        params = request.get("params", [])
        match request["method"]:
            case "SUBSCRIBE":
                self.add(_stream_names(params))
            case "UNSUBSCRIBE":
                for stream in _stream_names(params):
                    self.streams.pop(stream, None)
            case "LIST_SUBSCRIPTIONS":
                return list(self.streams)
            case "SET_PROPERTY":
                self._set_property(params)
            case "GET_PROPERTY":
                _check_property(params, 1)
                return self.combined
            case method:
                known = ", ".join(f"`{known}`" for known in METHODS)
                message = f"unknown variant `{method}`, expected one of {known} at line 1 column 1"
                raise CommandError(2, f"Invalid request: {message}")
        return None

    def _set_property(self, params: Any) -> None:
        _check_property(params, 2)
        if len(params) < 2 or type(params[1]) is not bool:
            raise CommandError(1, "Invalid value type: expected Boolean")
        self.combined = params[1]


def _parse(text: bytes) -> dict[str, Any]:
    try:
        request = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise CommandError(3, f"Invalid JSON: expected value at {place}") from None
    if type(request) is not dict:
        raise CommandError(2, "Invalid request: missing field `method` at line 1 column 1")
    return request


def _request_id(request: dict[str, Any]) -> Any:
    found = request.get("id", ...)
    is_number = type(found) is int and -_INT64 <= found < _INT64
    is_text = type(found) is str and _ID_TEXT.fullmatch(found)
    if found is None or is_number or is_text:
        return found
    raise CommandError(2, "Invalid request: request ID must be an unsigned integer")


def _stream_names(params: Any) -> list[str]:
    if type(params) is not list or not all(type(name) is str for name in params):
        raise CommandError(2, "Invalid request: stream names must be strings")
    return params


def _check_property(params: Any, most: int) -> None:
    if type(params) is not list or not params or type(params[0]) is not str:
        raise CommandError(2, "Invalid request: property name must be a string")
    if len(params) > most:
        raise CommandError(2, "Invalid request: too many parameters")
    if params[0] != "combined":
        raise CommandError(0, "Unknown property")
