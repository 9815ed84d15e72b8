"""`mmd doctor`: what may be wrong around mmd, each with its remedy. Changes nothing."""

from __future__ import annotations

import json
import os
import resource
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from rich.console import Console
from rich.text import Text

from mmd.cells.segment import NAME_FILE
from mmd.config.load import load
from mmd.config.model import Settings
from mmd.config.paths import Paths
from mmd.config.secrets import FILE, load_alert_targets, load_key, load_web_token
from mmd.faces.check import CLOCK_LIMIT_MS, Probes
from mmd.faces.doctor_net import Route, examine, routes
from mmd.faces.service import supervisord_pid
from mmd.supervision import proc
from mmd.supervision.lock import holder
from mmd.words.errors import ConfigError, Exit, KeyRejected, MmdError

_MB = 1 << 20
_FDS = 1024
_SEGMENT_MB = 16
_MEMORY_MB = 512
_SLOW_MS = 300.0
_CERTIFICATE_DAYS = 14


class Grade(Enum):
    """How bad a finding is."""

    GOOD = "ok"
    ODD = "warn"
    BAD = "error"


@dataclass(frozen=True)
class Finding:
    """What was found, and what to do about it."""

    grade: Grade
    text: str
    remedy: str = ""


_STYLES = {Grade.GOOD: "green", Grade.ODD: "yellow", Grade.BAD: "bold red"}


def doctor(
    config: Path, paths: Paths, environ: Mapping[str, str], console: Console, probes: Probes
) -> Exit:
    """Prints all findings; 0 when nothing is in error, else 1."""
    worst = Exit.DONE
    for finding in findings(config, paths, environ, probes):
        label = Text(f"{finding.grade.value:<7}", style=_STYLES[finding.grade])
        console.print(label + Text(finding.text), soft_wrap=True, highlight=False)
        if finding.remedy:
            console.print(Text(f"       → {finding.remedy}"), soft_wrap=True, highlight=False)
        if finding.grade is Grade.BAD:
            worst = Exit.FAILED
    return worst


def findings(
    config: Path, paths: Paths, environ: Mapping[str, str], probes: Probes
) -> Iterator[Finding]:
    """All that can be found, the nearest first."""
    yield from machine(paths)
    yield from leftovers(paths)
    try:
        settings = load(config)
    except ConfigError as error:
        for problem in error.problems:
            yield Finding(Grade.BAD, problem, "mend the line, then: mmd check")
        return
    yield _good(f"configuration: {config}, mode {settings.mode.value}")
    yield from secrets(settings, paths, environ)
    yield from disk(paths, settings)
    found = routes(settings)
    if not found:
        yield _good("venues: simulated; there is no network to examine")
    for route in found:
        yield from network(route)
    yield from clocks(settings, paths, environ, probes)


# This machine.


def machine(paths: Paths) -> Iterator[Finding]:
    """Limits of the operating system that mmd runs into first."""
    try:
        paths.check_sockets()
        yield _good(f"run-time files: {paths.home}")
    except ConfigError as error:
        yield Finding(Grade.BAD, str(error), "export MMD_HOME=/srv/mmd, or another short path")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _FDS:
        yield Finding(
            Grade.BAD,
            f"open files: {soft} allowed; {_FDS} are needed",
            f"ulimit -n {max(_FDS, min(hard, 65_536))}, or LimitNOFILE= in the systemd unit",
        )
    else:
        yield _good(f"open files: {soft} allowed")
    shm_mb = shutil.disk_usage("/dev/shm").free // _MB
    if shm_mb < _SEGMENT_MB:
        yield Finding(
            Grade.BAD,
            f"shared memory: {shm_mb} MB free in /dev/shm; {_SEGMENT_MB} are needed",
            "mount -o remount,size=64M /dev/shm; in a container: --shm-size=64m",
        )
    else:
        yield _good(f"shared memory: {shm_mb} MB free in /dev/shm")
    memory_mb = _available_memory_mb()
    if memory_mb < _MEMORY_MB:
        yield Finding(
            Grade.ODD,
            f"memory: {memory_mb} MB available",
            "end what else runs here, or add memory; each process of mmd takes 5 to 50 MB",
        )
    else:
        yield _good(f"memory: {memory_mb} MB available")


def _available_memory_mb() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
    return 0


def disk(paths: Paths, settings: Settings) -> Iterator[Finding]:
    """Room for logs and records."""
    folder = next(path for path in (paths.home, *paths.home.parents) if path.exists())
    free_mb = shutil.disk_usage(folder).free // _MB
    inodes = os.statvfs(folder)
    if free_mb < settings.alerts.min_disk_mb:
        yield Finding(
            Grade.BAD,
            f"disk: {free_mb} MB free at {folder}; alerts.min_disk_mb is "
            f"{settings.alerts.min_disk_mb}",
            "make room, lower logs.keep_days, or point MMD_HOME to a larger disk",
        )
    elif inodes.f_files and inodes.f_favail < 1000:
        yield Finding(
            Grade.BAD, f"disk: {inodes.f_favail} inodes left at {folder}", "delete small files"
        )
    else:
        yield _good(f"disk: {free_mb} MB free at {folder}")


# What dead lives left.


def leftovers(paths: Paths) -> Iterator[Finding]:
    """Segments, sockets and processes that nobody answers for."""
    parent = holder(paths.parent_lock)
    found = [
        *_segments(paths, parent is not None),
        *_sockets(paths, parent is not None),
        *(_orphans(paths) if parent is None else []),
    ]
    yield from found
    if not found:
        running = f"mmd runs, process {parent}" if parent else "mmd does not run"
        yield _good(f"leftovers: none; {running}")


def _segments(paths: Paths, is_running: bool) -> Iterator[Finding]:
    try:
        own = (paths.run / NAME_FILE).read_text().strip()
    except OSError:
        own = ""
    mapped = _mapped_segments()
    for path in sorted(Path("/dev/shm").glob("mmd-*")):
        if path.name in mapped or (path.name == own and is_running):
            continue
        if path.name == own:
            yield Finding(
                Grade.ODD,
                f"{path}: left by a life that was killed",
                "nothing to do: the next start removes it",
            )
        else:
            yield Finding(Grade.ODD, f"{path}: nobody uses it", f"rm {path}")


def _mapped_segments() -> set[str]:
    """Names of segments that a living process maps, as far as we may see."""
    found: set[str] = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        try:
            text = maps.read_text()
        except OSError:
            continue
        found |= {
            line.rsplit("/dev/shm/", 1)[1].split()[0]
            for line in text.splitlines()
            if "/dev/shm/mmd-" in line
        }
    return found


def _sockets(paths: Paths, is_running: bool) -> Iterator[Finding]:
    if paths.control_socket.exists() and not is_running:
        yield Finding(
            Grade.ODD,
            f"{paths.control_socket}: its parent is dead",
            "nothing to do: the next start replaces it",
        )
    if paths.supervisor_socket.exists() and supervisord_pid(paths) is None:
        yield Finding(
            Grade.ODD,
            f"{paths.supervisor_socket}: its supervisord is dead",
            "nothing to do: the next start replaces it",
        )
    if paths.run.exists():
        mode = stat.S_IMODE(paths.run.stat().st_mode)
        if mode & 0o077:
            yield Finding(
                Grade.BAD,
                f"{paths.run}: mode {mode:04o} lets others command mmd",
                f"chmod 700 {paths.run}",
            )


def _orphans(paths: Paths) -> Iterator[Finding]:
    """Children that outlived their parent."""
    try:
        boot, alive = json.loads((paths.run / "children.json").read_text())
    except (OSError, ValueError):
        return
    for pid, started in alive.items() if boot == proc.boot_id() else ():
        seen = proc.stat(int(pid))
        if seen is not None and seen.started == started and seen.state != "Z":
            yield Finding(
                Grade.BAD,
                f"process {pid} has outlived its parent",
                "mmd start ends it first; or mmd cancel, then kill it",
            )


# Secrets.


def secrets(settings: Settings, paths: Paths, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether keys are there and nobody else can read them."""
    path = Path(environ.get(FILE) or paths.conf / "secrets.env")
    if path.exists():
        yield from _permissions(path)
    else:
        yield _good(f"{path}: not there; secrets come from the environment")
    try:
        load_key(settings, paths, environ)
        yield _good("key: of the simulated venue" if settings.ace_url is None else "key: found")
    except ConfigError as error:
        yield Finding(Grade.BAD, f"key: {error}", "see conf/pairs.yaml, at mode")
    try:
        targets = load_alert_targets(paths, environ)
        load_web_token(settings, paths, environ)
    except ConfigError as error:
        yield Finding(Grade.BAD, str(error), "see conf/pairs.yaml, at alerts and web")
        return
    number = len(targets.urls) + bool(targets.webhook)
    if number:
        yield _good(f"alerts: go to {number} addresses")
    else:
        yield Finding(
            Grade.ODD,
            "alerts: go nowhere",
            "set MMD_ALERT_URLS, see conf/pairs.yaml at alerts; then: mmd notify test",
        )


def _permissions(path: Path) -> Iterator[Finding]:
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        yield Finding(
            Grade.BAD, f"{path}: mode {mode:04o} lets others read it", f"chmod 600 {path}"
        )
    elif found.st_uid != os.geteuid():
        yield Finding(
            Grade.ODD,
            f"{path}: belongs to user {found.st_uid}, mmd runs as {os.geteuid()}",
            f"chown {os.geteuid()} {path}",
        )
    else:
        yield _good(f"{path}: mode {mode:04o}")


# The way to the venues.


def network(route: Route) -> Iterator[Finding]:
    """Name, connection, TLS and latency of one host."""
    seen = examine(route)
    name = f"{route.name}: {route.host}:{route.port}"
    if seen.fault:
        yield Finding(Grade.BAD, f"{name}: {seen.fault}", seen.remedy)
        return
    tls = f", {seen.tls}, certificate for {seen.days_left} more days" if seen.tls else ""
    text = f"{name}: resolved in {seen.dns_ms:.0f} ms, connects in {seen.connect_ms:.1f} ms{tls}"
    if seen.tls and seen.days_left < _CERTIFICATE_DAYS:
        yield Finding(Grade.ODD, text, "the venue must renew its certificate soon; watch it")
    elif seen.connect_ms > _SLOW_MS:
        yield Finding(Grade.ODD, text, "far away or a poor line: run mmd nearer to the venue")
    else:
        yield _good(text)


def clocks(
    settings: Settings, paths: Paths, environ: Mapping[str, str], probes: Probes
) -> Iterator[Finding]:
    """Our clock against the venues'."""
    if settings.rest_url is not None:
        try:
            yield _clock("Binance", probes.binance_offset_ms(settings))
        except MmdError as error:
            yield Finding(Grade.BAD, f"clock: Binance does not tell the time: {error}", "see above")
    if settings.ace_url is None:
        return
    try:
        offset_ms = probes.key_offset_ms(settings, load_key(settings, paths, environ))
    except ConfigError:
        return  # told already
    except KeyRejected as error:
        remedy = "put the key of this very venue (testnet or live) where the old one is: mmd check"
        yield Finding(Grade.BAD, f"key: ACE refuses it: {error}", remedy)
        return
    except MmdError as error:
        yield Finding(Grade.BAD, f"clock: ACE does not tell the time: {error}", "mmd check")
        return
    yield _clock("ACE", offset_ms)


def _clock(venue: str, offset_ms: float) -> Finding:
    text = f"clock: {offset_ms:+.0f} ms from {venue} to us, at {time.strftime('%H:%M:%S')}"
    if abs(offset_ms) <= CLOCK_LIMIT_MS:
        return _good(text)
    return Finding(Grade.BAD, text, "timedatectl set-ntp true, or run chronyd")


def _good(text: str) -> Finding:
    return Finding(Grade.GOOD, text)
