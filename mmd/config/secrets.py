"""Secrets: from the environment or a private file, and never shown.

The key of the ACE account, the addresses that alerts go to, the token of the operator's page.

The secret must not reach a log, an argument list, an error, a pickle or a repr. So the key is no
dataclass (`asdict` would spell it out), refuses to be pickled, and prints as `AceKey(masked)`.
"""

from __future__ import annotations

import hmac
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, SupportsIndex

from mmd.config.model import Mode, Settings
from mmd.config.paths import Paths
from mmd.words.errors import ConfigError

KEY, SECRET, FILE = "ACE_API_KEY", "ACE_API_SECRET", "ACE_KEY_FILE"
ALERT_URLS, ALERT_WEBHOOK, WEB_TOKEN = "MMD_ALERT_URLS", "MMD_ALERT_WEBHOOK", "MMD_WEB_TOKEN"
_TOKEN_LENGTH = 16
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class AceKey:
    """An API key and its secret. Immutable; equal keys compare equal."""

    __slots__ = ("api_key", "secret")

    api_key: str
    secret: str

    def __init__(self, api_key: str, secret: str) -> None:
        object.__setattr__(self, "api_key", api_key)
        object.__setattr__(self, "secret", secret)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a key can't be changed")

    def __repr__(self) -> str:
        return "AceKey(masked)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AceKey):
            return NotImplemented
        return (self.api_key, self.secret) == (other.api_key, other.secret)

    def __hash__(self) -> int:
        return hash((self.api_key, self.secret))

    def __copy__(self) -> AceKey:
        return self

    def __deepcopy__(self, memo: object) -> AceKey:
        return self

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a key is never pickled: its secret would lie in the bytes")


PAPER_KEY = AceKey("paper", "paper-secret")
"""The key that the simulated venue knows; worth nothing anywhere else."""


class Secret:
    """A text that does not show itself."""

    __slots__ = ("text",)

    text: str

    def __init__(self, text: str) -> None:
        object.__setattr__(self, "text", text)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a secret can't be changed")

    def __repr__(self) -> str:
        return "Secret(masked)"

    def __bool__(self) -> bool:
        return bool(self.text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.text.encode(), other.text.encode())

    def __hash__(self) -> int:
        return hash(self.text)

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a secret is never pickled")


@dataclass(frozen=True)
class AlertTargets:
    """Where alerts are sent to."""

    urls: tuple[Secret, ...] = ()
    """Addresses as apprise understands them: `line://…`, `tgram://…`, `slack://…`, `mailto://…`."""
    webhook: Secret | None = None
    """Gets the alerts as JSON by POST."""


def load_alert_targets(paths: Paths, environ: Mapping[str, str]) -> AlertTargets:
    """The addresses, separated by spaces. Raises ConfigError when the file can't be used."""
    values = _optional(paths, environ)
    webhook = values.get(ALERT_WEBHOOK, "").strip()
    if webhook and not webhook.startswith(("http://", "https://")):
        raise ConfigError(f"{ALERT_WEBHOOK}: must be a URL that begins with https:// or http://")
    urls = tuple(map(Secret, values.get(ALERT_URLS, "").split()))
    return AlertTargets(urls, Secret(webhook) if webhook else None)


def load_web_token(settings: Settings, paths: Paths, environ: Mapping[str, str]) -> Secret | None:
    """The token of the operator's page; None where none is wanted.

    Raises ConfigError when it is too short, or missing though other machines can reach the page.
    """
    token = _optional(paths, environ).get(WEB_TOKEN, "").strip()
    if token and len(token) < _TOKEN_LENGTH:
        raise ConfigError(f"{WEB_TOKEN}: must have at least {_TOKEN_LENGTH} characters")
    if not token and settings.web.enabled and not settings.web.is_loopback:
        raise ConfigError(
            f"web.host: found {settings.web.host}, which other machines can reach; that needs a "
            f"token: set {WEB_TOKEN} in the environment or in {paths.conf / 'secrets.env'}"
        )
    return Secret(token) if token else None


def _optional(paths: Paths, environ: Mapping[str, str]) -> dict[str, str]:
    """What the private file says, if there is one, and over it the environment."""
    named = environ.get(FILE)
    path = Path(named) if named else paths.conf / "secrets.env"
    values = _read(path) if named or path.exists() else {}
    chosen = {
        name: environ[name] for name in (ALERT_URLS, ALERT_WEBHOOK, WEB_TOKEN) if name in environ
    }
    return {**values, **chosen}


def load_key(settings: Settings, paths: Paths, environ: Mapping[str, str]) -> AceKey:
    """The key that the mode calls for: the environment first, then the file.

    Raises ConfigError when the key is missing or incomplete, or others may read the file.
    """
    if settings.mode is Mode.PAPER:
        return PAPER_KEY
    if environ.get(KEY) or environ.get(SECRET):
        return _key(environ, "the environment")
    named = environ.get(FILE)
    path = Path(named) if named else paths.conf / "secrets.env"
    if not named and not path.exists():
        raise ConfigError(
            f"no key for mode {settings.mode.value}: set {KEY} and {SECRET} in the environment, "
            f"or write them as lines {KEY}=… and {SECRET}=… into {path} (mode 0600), "
            f"or name such a file in {FILE}"
        )
    return _key(_read(path), str(path))


def _key(values: Mapping[str, str], where: str) -> AceKey:
    found = {name: values.get(name, "").strip() for name in (KEY, SECRET)}
    missing = [name for name, value in found.items() if not value]
    if missing:
        raise ConfigError(f"{where}: {' and '.join(missing)} missing; both are needed")
    return AceKey(found[KEY], found[SECRET])


def _read(path: Path) -> dict[str, str]:
    """The KEY=VALUE lines of a private file. No message repeats what stands in the file."""
    try:
        with path.open(encoding="utf-8") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & _OTHERS:
                raise ConfigError(
                    f"{path}: mode {mode:04o} lets others read the key; run: chmod 600 {path}"
                )
            lines = file.read().splitlines()
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text") from None
    values: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        text = line.strip().removeprefix("export ").strip()
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"{path}:{number}: must be KEY=VALUE")
        values[name.strip()] = _unquoted(value.strip())
    return values


def _unquoted(value: str) -> str:
    quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1] if quoted else value
