"""docs/strategies.md says what the decisions do, and leaves no parameter out."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from mmd.config.model import QuoteSettings, SelfTradeSettings
from tests.docs.ladders import IMAGES, PAGE, examples, picture, table
from tests.docs.ladders import example as computed

EXAMPLES = list(examples(PAGE.read_text()))


def keys(model: type[BaseModel]) -> Iterator[str]:
    """The names of all parameters of a group and of the groups in it."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        is_range = name == "amount" or name.endswith("_s")
        if isinstance(kind, type) and issubclass(kind, BaseModel) and not is_range:
            yield from keys(kind)
        else:
            yield name


@pytest.mark.parametrize("match", EXAMPLES, ids=lambda match: match[1])
def test_a_worked_example_is_what_the_decisions_make_of_it(match: re.Match[str]) -> None:
    assert table(computed(match[2])) == match[3], "python -m tests.docs.ladders writes it anew"
    assert picture(match[2]) == (IMAGES / match[1]).read_text()


def test_every_picture_is_of_an_example() -> None:
    assert sorted(path.name for path in IMAGES.glob("ladder-*")) == sorted(m[1] for m in EXAMPLES)


@pytest.mark.parametrize("model", [QuoteSettings, SelfTradeSettings])
def test_no_parameter_is_left_out(model: type[BaseModel]) -> None:
    page = PAGE.read_text()
    words = set(re.findall(r"`(?:[a-z_]+\.)?([a-z_]+)(?:: [a-z]+)?`", page))
    assert [key for key in keys(model) if key not in words] == []
