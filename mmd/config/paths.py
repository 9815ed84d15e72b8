"""Where run-time files lie: `var/` beside `conf/`, or the folder named by MMD_HOME."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mmd.words.errors import ConfigError
from mmd.words.ids import INSTANCE_LENGTH, base36
from mmd.words.market import Pair

PACKAGE = Path(__file__).resolve().parent.parent
SOCKET_PATH_BYTES = 107
"""Longest path of a unix socket on Linux (`sun_path` holds 108 bytes, one of them the end)."""
_PID_SUFFIX = len(".4194304")
"""supervisord binds `<socket>.<pid>` first and links it into place."""


def project_root() -> Path:
    """The folder that holds `conf/pairs.yaml`: the package's parent, else the current folder."""
    root = PACKAGE.parent
    return root if (root / "conf" / "pairs.yaml").exists() else Path.cwd()


@dataclass(frozen=True)
class Paths:
    """All places in the file system that mmd uses."""

    home: Path
    """Run-time files."""
    project: Path | None = None
    """The folder that holds `conf/`; None: the parent of `home`."""

    @classmethod
    def default(cls, environ: Mapping[str, str]) -> Paths:
        """MMD_HOME, or `var/` in the project."""
        root = project_root()
        named = environ.get("MMD_HOME")
        home = Path(named).expanduser().absolute() if named else root / "var"
        return cls(home, root)

    @property
    def conf(self) -> Path:
        return (self.project or self.home.parent) / "conf"

    @property
    def pairs_yaml(self) -> Path:
        return self.conf / "pairs.yaml"

    @property
    def run(self) -> Path:
        """Sockets, locks and the name of the present segment; private."""
        return self.home / "run"

    @property
    def log(self) -> Path:
        return self.home / "log"

    @property
    def records(self) -> Path:
        return self.home / "records"

    @property
    def parent_lock(self) -> Path:
        return self.run / "parent.lock"

    @property
    def control_socket(self) -> Path:
        return self.run / "control.sock"

    @property
    def supervisor_socket(self) -> Path:
        return self.run / "supervisor.sock"

    @property
    def status(self) -> Path:
        """Names the shared-memory segment of the parent that lives now."""
        return self.run / "status"

    @property
    def web_address(self) -> Path:
        """Says where the operator's page is."""
        return self.run / "web.address"

    def pair_lock(self, pair: Pair) -> Path:
        """Held by the pair's one worker or sweep."""
        return self.run / f"{pair.slug}.lock"

    def make(self) -> None:
        """Creates the folders, `run` for our eyes only.

        Raises ConfigError when that fails or a socket's path would be too long.
        """
        self.check_sockets()
        try:
            for folder in (self.home, self.log, self.records):
                folder.mkdir(parents=True, exist_ok=True)
            self.run.mkdir(mode=0o700, exist_ok=True)
            self.run.chmod(0o700)
        except OSError as error:
            raise ConfigError(
                f"{error.filename}: can't be made: {error.strerror}; "
                "set MMD_HOME to a folder that can be written"
            ) from None

    def check_sockets(self) -> None:
        """Raises ConfigError when a unix socket in `run` would have too long a path."""
        longest = max(
            len(os.fsencode(self.control_socket)),
            len(os.fsencode(self.supervisor_socket)) + _PID_SUFFIX,
        )
        if longest > SOCKET_PATH_BYTES:
            raise ConfigError(
                f"{self.run}: too long for the sockets in it by "
                f"{longest - SOCKET_PATH_BYTES} bytes; set MMD_HOME to a shorter path"
            )

    def instance(self) -> str:
        """The number that tells this mmd's orders from another's; made once, then kept.

        Raises ConfigError when the file can't be written or doesn't hold an instance number.
        """
        path = self.home / "instance"
        try:
            if not path.exists():
                self.home.mkdir(parents=True, exist_ok=True)
                _create_once(path, _new_instance() + "\n")
            text = path.read_text(encoding="ascii").strip()
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from None
        except UnicodeDecodeError:
            text = ""
        if not re.fullmatch(rf"[0-9a-z]{{{INSTANCE_LENGTH}}}", text):
            raise ConfigError(
                f"{path}: must hold {INSTANCE_LENGTH} of 0-9 and a-z. Orders on the venue carry "
                "the old number: run `mmd cancel --all`, then delete the file"
            )
        return text


def _new_instance() -> str:
    return base36(random.SystemRandom().randrange(36**INSTANCE_LENGTH), INSTANCE_LENGTH)


def _create_once(path: Path, text: str) -> None:
    """Writes a file whole and durably, unless another process was first."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
