"""Who may see the page and command through it: asked over real sockets."""

from __future__ import annotations

import pytest

from mmd.config.secrets import Secret
from mmd.processes.web.guard import Guard
from tests.web.conftest import TOKEN, Site

PAUSE = {"do": "pause", "name": "pairs:btc_twd"}


def _own(site: Site) -> dict[str, str]:
    return {"Origin": site.url}


def test_every_answer_forbids_framing_and_foreign_content(site: Site) -> None:
    for path in ("/", "/page.js", "/metrics", "/nothing-here"):
        _, headers, _ = site.ask(path)
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "Access-Control-Allow-Origin" not in headers
        assert headers["Server"] == "mmd"


def test_the_page_names_nothing_outside_itself(site: Site) -> None:
    for path in ("/", "/login", "/page.js", "/chart.js", "/login.js", "/page.css"):
        _, _, text = site.ask(path)
        assert "http://" not in text
        assert "https://" not in text
        assert "//cdn" not in text
        assert "<style" not in text
        assert "<script>" not in text


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_a_foreign_name_for_this_machine_is_refused(site: Site, host: str) -> None:
    status, _, _ = site.ask("/", headers={"Host": host})
    assert status in (400, 403)


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]"])
def test_names_of_this_machine_are_known(site: Site, name: str) -> None:
    assert site.ask("/", headers={"Host": f"{name}:9999"})[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "file://"},
    ],
    ids=["none", "null", "foreign", "other port", "file"],
)
def test_commands_from_elsewhere_are_refused(site: Site, headers: dict[str, str]) -> None:
    status, _, _ = site.ask("/api/command", document=PAUSE, headers=headers)
    assert status == 403
    assert site.commands == []


def test_a_command_that_the_browser_calls_cross_site_is_refused(site: Site) -> None:
    headers = {**_own(site), "Sec-Fetch-Site": "cross-site"}
    assert site.ask("/api/command", document=PAUSE, headers=headers)[0] == 403


def test_commands_of_the_page_itself_are_carried_out(site: Site) -> None:
    status, _, text = site.ask("/api/command", document=PAUSE, headers=_own(site))
    assert (status, site.commands) == (200, [("pause", "pairs:btc_twd")])
    assert "pause done" in text


@pytest.mark.parametrize(
    "document",
    [
        {"do": "shutdown", "name": "pairs:btc_twd"},
        {"do": "stop", "name": "pairs:btc_twd"},
        {"do": "pause", "name": "*"},
        {"do": "pause", "name": "pairs:*"},
        {"do": "pause"},
        ["pause"],
        "pause",
    ],
)
def test_only_three_commands_to_single_processes_are_taken(site: Site, document: object) -> None:
    assert site.ask("/api/command", document=document, headers=_own(site))[0] == 400
    assert site.commands == []


def test_a_form_can_not_command(site: Site) -> None:
    headers = {**_own(site), "Content-Type": "text/plain"}
    assert site.ask("/api/command", document=PAUSE, headers=headers)[0] == 415


def test_a_huge_request_is_refused(site: Site) -> None:
    document = {"do": "pause", "name": "x" * 100_000}
    assert site.ask("/api/command", document=document, headers=_own(site))[0] in (400, 413)


def test_a_dead_parent_is_said(site: Site) -> None:
    site.parent_is_dead = True
    status, _, text = site.ask("/api/command", document=PAUSE, headers=_own(site))
    assert status == 200
    assert '"ok": false' in text
    assert "mmd is not running" in text


# Behind a token.


@pytest.mark.parametrize("path", ["/events", "/metrics", "/api/history/btc_twd", "/page.js"])
def test_nothing_is_shown_without_the_token(guarded: Site, path: str) -> None:
    assert guarded.ask(path)[0] == 401
    for wrong in ("", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x"):
        assert guarded.ask(path, headers={"Authorization": wrong})[0] == 401
    assert guarded.ask(path, headers={"Cookie": f"mmd_session={TOKEN}"})[0] == 401


def test_the_page_leads_to_the_login(guarded: Site) -> None:
    status, headers, _ = guarded.ask("/")
    assert (status, headers["Location"]) == (302, "/login")
    assert guarded.ask("/login")[0] == 200


def test_nothing_is_commanded_without_the_token(guarded: Site) -> None:
    assert guarded.ask("/api/command", document=PAUSE, headers=_own(guarded))[0] == 401
    assert guarded.commands == []


def test_the_token_opens_by_a_cookie_that_scripts_and_other_sites_can_not_use(
    guarded: Site,
) -> None:
    status, _, _ = guarded.ask("/login", document={"token": "wrong"}, headers=_own(guarded))
    assert status == 401
    status, headers, _ = guarded.ask("/login", document={"token": TOKEN}, headers=_own(guarded))
    cookie = headers["Set-Cookie"]
    assert status == 200
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert TOKEN not in cookie
    shown = {"Cookie": cookie.partition(";")[0], **_own(guarded)}
    assert guarded.ask("/", headers=shown)[0] == 200
    assert guarded.ask("/api/command", document=PAUSE, headers=shown)[0] == 200
    assert guarded.commands == [("pause", "pairs:btc_twd")]


def test_the_cookie_is_for_tls_only_where_there_is_tls(guarded: Site) -> None:
    headers = {**_own(guarded), "X-Forwarded-Proto": "https"}
    _, answer, _ = guarded.ask("/login", document={"token": TOKEN}, headers=headers)
    assert "Secure" in answer["Set-Cookie"]


def test_prometheus_shows_the_token_in_a_header(guarded: Site) -> None:
    status, _, text = guarded.ask("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert status == 200
    assert "mmd_up 1.0" in text


def test_another_token_means_another_cookie() -> None:
    one, other = Guard(Secret("one-token-of-length")), Guard(Secret("other-token-of-length"))
    assert other.admits({"mmd_session": one.cookie()}, "") is False
    assert one.admits({"mmd_session": one.cookie()}, "") is True
