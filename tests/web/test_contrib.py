"""The files for Grafana, Prometheus and systemd speak of things that are there."""

from __future__ import annotations

import configparser
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from mmd.processes.web import metrics
from tests.conftest import ROOT
from tests.web.conftest import seen

CONTRIB = ROOT / "contrib"
DASHBOARD = json.loads((CONTRIB / "grafana" / "mmd.json").read_text())
RULES = yaml.safe_load((CONTRIB / "prometheus" / "mmd.rules.yml").read_text())["groups"][0]["rules"]


def _labels() -> dict[str, set[str]]:
    """Every sample's name, with its labels."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics.render(seen()).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def _expressions() -> list[Any]:
    panels = [
        pytest.param(target["expr"], target["legendFormat"], id=panel["title"])
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
    ]
    texts = [(rule, " ".join(rule["annotations"].values())) for rule in RULES]
    return panels + [pytest.param(rule["expr"], text, id=rule["alert"]) for rule, text in texts]


@pytest.mark.parametrize(("expression", "legend"), _expressions())
def test_expressions_name_metrics_and_labels_that_there_are(expression: str, legend: str) -> None:
    known = _labels()
    names = re.findall(r"\bmmd_[a-z_]+", expression)
    assert names
    assert set(names) <= set(known)
    available = set().union(*(known[name] for name in names))
    for label in re.findall(r"\{\{\s*(?:\$labels\.)?([a-z]+)\s*\}\}", legend):
        assert label in available
    for name, selector in re.findall(r"\b(mmd_[a-z_]+)\{([^}]*)\}", expression):
        assert {part.split("=")[0].strip() for part in selector.split(",")} <= known[name]


def test_panels_do_not_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_the_unit_starts_what_there_is() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(CONTRIB / "systemd" / "mmd.service")
    service = unit["Service"]
    for key in ("ExecStart", "ExecStartPre", "ExecStop"):
        program = service[key].split()[0].replace("/srv/mmd", str(ROOT))
        assert Path(program).exists(), key
    conf = service["ExecStart"].split()[-1].replace("/srv/mmd", str(ROOT))
    assert Path(conf).exists()
    assert service["KillMode"] == "mixed"
