"""Lines of a plain or gzip file, as far as they go: a killed recorder leaves half a file."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger(__name__)

_CHUNK = 1 << 16
_GZIP = b"\x1f\x8b"
_GZIP_WBITS = 31


def read_lines(path: Path) -> Iterator[bytes]:
    """The lines without their ends; of a cut-off gzip file those that are whole.

    Raises OSError, and ValueError for a damaged gzip file.
    """
    rest = b""
    try:
        for chunk in _chunks(path):
            lines = (rest + chunk).split(b"\n")
            rest = lines.pop()
            yield from lines
    except zlib.error as error:
        raise ValueError(str(error)) from error
    except EOFError as error:
        log.warning("%s", error)
        return
    if rest:
        yield rest


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        chunk = file.read(_CHUNK)
        if not chunk.startswith(_GZIP):
            while chunk:
                yield chunk
                chunk = file.read(_CHUNK)
            return
        engine = zlib.decompressobj(_GZIP_WBITS)
        while chunk:
            yield engine.decompress(chunk)
            chunk = engine.unused_data or file.read(_CHUNK)
            if engine.eof and chunk:
                engine = zlib.decompressobj(_GZIP_WBITS)
        if not engine.eof:
            raise EOFError(f"{path} is cut off")
