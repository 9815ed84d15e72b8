"""`mmd doctor`: each trouble is found and has a remedy; nothing is found where all is well."""

from __future__ import annotations

import io
import json
import os
import resource
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest
import trustme
from rich.console import Console

from mmd.cells.segment import Segment
from mmd.config.paths import Paths
from mmd.faces import doctor_net
from mmd.faces.check import Probes
from mmd.faces.doctor import Finding, Grade, clocks, disk, doctor, findings, leftovers, machine
from mmd.faces.doctor import secrets as secret_findings
from mmd.faces.doctor_net import Route, examine, routes
from mmd.supervision import proc
from mmd.supervision.lock import Lock
from mmd.words.errors import Exit, KeyRejected, Unavailable
from tests.config.samples import settings_of
from tests.conftest import ROOT

SHIPPED = ROOT / "conf" / "pairs.yaml"
ENVIRON = {"MMD_ALERT_URLS": "json://127.0.0.1:1/"}


def _nobody(*_: object) -> NoReturn:
    raise Unavailable("nobody answers")


def _probes(offset_ms: float = 3.0) -> Probes:
    return Probes(
        markets=_nobody,
        key_offset_ms=lambda _settings, _key: offset_ms,
        binance_offset_ms=lambda _settings: offset_ms,
        symbol=_nobody,
        stream=_nobody,
    )


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    (tmp_path / "conf").mkdir()
    found = Paths(tmp_path / "var")
    found.make()
    return found


def _bad(found: list[Finding]) -> list[Finding]:
    return [finding for finding in found if finding.grade is not Grade.GOOD]


def test_all_is_well_in_paper_mode(paths: Paths) -> None:
    out = io.StringIO()
    code = doctor(SHIPPED, paths, ENVIRON, Console(file=out, width=300), _probes())
    assert code == Exit.DONE, out.getvalue()
    assert "simulated" in out.getvalue()


def test_every_trouble_has_a_remedy(tmp_path: Path) -> None:
    broken = tmp_path / "pairs.yaml"
    broken.write_text("mode: demo\n")
    paths = Paths(tmp_path / "var")
    paths.make()
    paths.run.chmod(0o755)
    found = _bad(list(findings(broken, paths, {}, _probes())))
    assert len(found) >= 2
    assert all(finding.remedy for finding in found)
    out = io.StringIO()
    assert doctor(broken, paths, {}, Console(file=out, width=300), _probes()) == Exit.FAILED
    assert f"→ chmod 700 {paths.run}" in out.getvalue()


def test_too_long_a_path_is_found(tmp_path: Path) -> None:
    (found,) = _bad(list(machine(Paths(tmp_path / ("x" * 120)))))
    assert "too long" in found.text
    assert "MMD_HOME" in found.remedy


def test_too_few_open_files_are_found(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (256, 4096))
    (found,) = _bad(list(machine(paths)))
    assert found.remedy.startswith("ulimit -n 4096")


def test_a_full_disk_is_found(paths: Paths) -> None:
    full = settings_of(alerts={"min_disk_mb": 1_000_000})
    (found,) = list(disk(paths, full))
    assert found.grade is Grade.BAD
    assert "logs.keep_days" in found.remedy
    assert _bad(list(disk(paths, settings_of()))) == []


# What dead lives left.


@contextmanager
def _parent(paths: Paths) -> Iterator[None]:
    """A process that holds the parent's lock."""
    ready, over = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(over[1])
        lock = Lock(paths.parent_lock)
        os.write(ready[1], b"x")
        os.read(over[0], 1)
        lock.release()
        os._exit(0)
    os.read(ready[0], 1)
    try:
        yield
    finally:
        os.write(over[1], b"x")
        os.waitpid(pid, 0)
        for fd in (*ready, *over):
            os.close(fd)


def test_a_home_where_mmd_runs_has_no_leftovers(paths: Paths) -> None:
    paths.control_socket.touch()
    with _parent(paths):
        segment = Segment.create(paths.run)
        try:
            found = [f.text for f in _bad(list(leftovers(paths)))]
            assert not any(str(paths.home) in text or segment.name in text for text in found)
        finally:
            segment.remove(paths.run)


def test_a_segment_that_nobody_uses_is_found_and_not_removed(paths: Paths) -> None:
    orphan = Path("/dev/shm/mmd-00000000test")
    orphan.touch()
    try:
        (found,) = [f for f in leftovers(paths) if str(orphan) in f.text]
        assert found.remedy == f"rm {orphan}"
        assert orphan.exists()
    finally:
        orphan.unlink()


def test_sockets_of_the_dead_are_found(paths: Paths) -> None:
    paths.control_socket.touch()
    paths.supervisor_socket.touch()
    texts = [finding.text for finding in leftovers(paths)]
    assert any("control.sock: its parent is dead" in text for text in texts)
    assert any("supervisor.sock: its supervisord is dead" in text for text in texts)


def test_a_child_that_outlived_its_parent_is_found(paths: Paths) -> None:
    me = proc.stat(os.getpid())
    assert me is not None
    roll = paths.run / "children.json"
    roll.write_text(json.dumps([proc.boot_id(), {str(os.getpid()): me.started}]))
    assert any(f"process {os.getpid()} has outlived" in f.text for f in leftovers(paths))
    roll.write_text(json.dumps([proc.boot_id(), {str(os.getpid()): me.started + 1}]))
    assert not any("outlived" in f.text for f in leftovers(paths)), "another one had that number"
    roll.write_text(json.dumps(["another boot", {str(os.getpid()): me.started}]))
    assert not any("outlived" in f.text for f in leftovers(paths))


# Secrets.


def test_secrets_that_others_can_read_are_found_and_not_shown(paths: Paths) -> None:
    path = paths.conf / "secrets.env"
    path.write_text("ACE_API_KEY=hidden-key\nACE_API_SECRET=hidden-secret\n")
    path.chmod(0o644)
    live = settings_of(mode="live")
    found = _bad(list(secret_findings(live, paths, {})))
    assert found[0].remedy == f"chmod 600 {path}"
    assert "hidden" not in str(found)
    path.chmod(0o600)
    (odd,) = _bad(list(secret_findings(live, paths, {})))
    assert odd.text == "alerts: go nowhere"


def test_a_page_for_all_without_a_token_is_found(paths: Paths) -> None:
    open_page = settings_of(web={"enabled": True, "host": "0.0.0.0"})
    (found,) = _bad(list(secret_findings(open_page, paths, ENVIRON)))
    assert "MMD_WEB_TOKEN" in found.text


# The way to the venues.


def test_only_what_is_real_is_examined() -> None:
    assert routes(settings_of()) == []
    found = routes(settings_of(mode="live"))
    assert [(route.host, route.port, route.is_tls) for route in found] == [
        ("stream.binance.com", 9443, True),
        ("api.binance.com", 443, True),
        ("ace.io", 443, True),
    ]


def test_a_name_that_means_nothing_is_found() -> None:
    seen = examine(Route("ACE", "no-such-host.invalid", 443, True))
    assert "not resolved" in seen.fault
    assert "resolv.conf" in seen.remedy


def test_a_closed_port_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    seen = examine(Route("ACE", "127.0.0.1", port, True))
    assert "can't be connected to" in seen.fault
    assert "firewall" in seen.remedy


@contextmanager
def _tls_server(authority: trustme.CA) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        over = threading.Event()
        listener.settimeout(0.05)

        def serve() -> None:
            while not over.is_set():
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                connection.settimeout(2)
                try:
                    with context.wrap_socket(connection, server_side=True):
                        pass
                except OSError:
                    connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            thread.join()


def test_latency_tls_and_certificate_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()

    def trusting() -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        authority.configure_trust(context)
        return context

    monkeypatch.setattr(doctor_net.ssl, "create_default_context", trusting)
    with _tls_server(authority) as port:
        seen = examine(Route("ACE", "127.0.0.1", port, True))
    assert seen.fault == ""
    assert seen.tls.startswith("TLSv1.")
    assert 0 < seen.connect_ms < 1000
    assert seen.days_left > 300


def test_a_certificate_that_nobody_trusts_is_found() -> None:
    with _tls_server(trustme.CA()) as port:
        seen = examine(Route("ACE", "127.0.0.1", port, True))
    assert "not trusted" in seen.fault
    assert "ca-certificates" in seen.remedy


# Clocks.


@pytest.mark.parametrize(("offset_ms", "grade"), [(-12.0, Grade.GOOD), (2500.0, Grade.BAD)])
def test_a_clock_that_is_off_is_found(paths: Paths, offset_ms: float, grade: Grade) -> None:
    live = settings_of(mode="live")
    environ = {"ACE_API_KEY": "k", "ACE_API_SECRET": "s"}
    found = list(clocks(live, paths, environ, _probes(offset_ms)))
    assert [finding.grade for finding in found] == [grade, grade]
    assert grade is Grade.GOOD or "set-ntp" in found[0].remedy


def test_a_refused_key_is_not_taken_for_a_wrong_clock(paths: Paths) -> None:
    def refuse(*_: object) -> NoReturn:
        raise KeyRejected("balances: status 20182: apiKey or signKey wrong")

    environ = {"ACE_API_KEY": "k", "ACE_API_SECRET": "s"}
    probes = replace(_probes(), key_offset_ms=refuse)
    (found,) = _bad(list(clocks(settings_of(mode="live"), paths, environ, probes)))
    assert found.text.startswith("key: ACE refuses it")
    assert "mmd check" in found.remedy
