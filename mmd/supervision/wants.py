"""What people want of each child: up or down, paused or not. Outlives the parent."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from mmd.words.errors import ConfigError, Unavailable


@dataclass(frozen=True, slots=True)
class Want:
    """What somebody last said about a child."""

    up: bool = True
    paused: bool = False


class Wants:
    """The wanted state of all children that were ever planned and not yet proven gone."""

    def __init__(self, path: Path) -> None:
        """Raises ConfigError when the file can't be made sense of."""
        self._path = path
        self._wants = _load(path)

    def __getitem__(self, name: str) -> Want:
        """What is wanted of the child; a new one is wanted up."""
        return self._wants.get(name, Want())

    def names(self) -> list[str]:
        return list(self._wants)

    def change(self, name: str, *, up: bool | None = None, paused: bool | None = None) -> None:
        """Notes a command, on disk before it returns. Raises Unavailable when that fails."""
        want = self[name]
        if up is not None:
            want = replace(want, up=up)
        if paused is not None:
            want = replace(want, paused=paused)
        self._put({name: want})

    def note(self, names: Iterable[str]) -> None:
        """Remembers that there are such children."""
        self._put({name: self[name] for name in names})

    def forget(self, name: str) -> None:
        """The child is planned no more, and nothing of it is left."""
        if name in self._wants:
            del self._wants[name]
            with suppress(Unavailable):  # then it is swept once more in the next life
                self._save()

    def _put(self, wants: dict[str, Want]) -> None:
        merged = self._wants | wants
        if merged != self._wants:
            self._wants = merged
            self._save()

    def _save(self) -> None:
        temporary = self._path.with_name(self._path.name + ".new")
        text = json.dumps({name: asdict(want) for name, want in self._wants.items()}, indent=1)
        try:
            with temporary.open("w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(self._path)
        except OSError as error:
            raise Unavailable(f"{self._path} can't be written: {error.strerror}") from None


def _load(path: Path) -> dict[str, Want]:
    try:
        return {name: Want(**want) for name, want in json.loads(path.read_text()).items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError):
        # Guessing could start what somebody stopped.
        raise ConfigError(
            f"{path} is damaged; delete it, and stop or pause the pairs anew that must not trade"
        ) from None
