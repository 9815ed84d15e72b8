"""The shape of the models: which keys there are, of which type, with which example."""

from __future__ import annotations

import copy
import types
from collections.abc import Iterator
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from mmd.config.base import Strict
from mmd.config.model import PairSettings, Settings

FILE_KEYS = ("defaults", "profiles")
"""Keys of the file that are merged into the pairs and don't reach the models."""
PAIR_KEYS = ("profile",)
"""The same for a pair's own keys."""
_LAYER = "PairLayer"


def model_in(annotation: object) -> type[Strict] | None:
    """The group of settings that a field holds: bare, optional, or as values of a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, Strict):
        return annotation
    origin = get_origin(annotation)
    if origin is Annotated or origin is dict:
        return model_in(get_args(annotation)[0 if origin is Annotated else 1])
    if origin in (Union, types.UnionType):
        return next(filter(None, map(model_in, get_args(annotation))), None)
    return None


def is_mapping(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is dict


def field_at(path: tuple[str, ...]) -> FieldInfo | None:
    """The field at a path of keys; None where the path ends at a mapping's entry or nowhere."""
    steps = list(_steps(path))
    return steps[-1][1] if steps and len(steps) == len(path) else None


def known_keys(path: tuple[str, ...]) -> list[str]:
    """The keys that a group of settings has."""
    if not path:
        return list(Settings.model_fields)
    steps = list(_steps(path))
    model = steps[-1][0] if len(steps) == len(path) else None
    return list(model.model_fields) if model else []


def example(path: tuple[str, ...]) -> object:
    """A value that a required field could have."""
    field = field_at(path)
    return copy.deepcopy(field.examples[0]) if field and field.examples else None


def _steps(path: tuple[str, ...]) -> Iterator[tuple[type[Strict] | None, FieldInfo | None]]:
    """For each key of a path: the group that lies below it, and its field."""
    model: type[Strict] | None = Settings
    keys = iter(path)
    for key in keys:
        field = model.model_fields.get(key) if model else None
        if field is None:
            return
        model = model_in(field.annotation)
        yield model, field
        if is_mapping(field) and next(keys, None) is not None:
            yield model, None


def schema() -> dict[str, Any]:
    """The JSON schema of conf/pairs.yaml, for editors.

    It demands nothing within a pair: what is missing there may come from defaults or a profile.
    """
    whole = Settings.model_json_schema()
    definitions = whole["$defs"]
    for definition in definitions.values():
        definition.pop("required", None)
    pair = definitions[PairSettings.__name__]
    layer = copy.deepcopy(pair)
    layer.update(title=_LAYER, description="Values for pairs that don't give their own.")
    definitions[_LAYER] = layer
    pair["properties"]["profile"] = {
        "type": "string",
        "description": "The profile that the pair's values come from.",
    }
    reference = {"$ref": f"#/$defs/{_LAYER}"}
    whole["properties"]["defaults"] = {**reference, "description": "Values for all pairs."}
    whole["properties"]["profiles"] = {
        "type": "object",
        "additionalProperties": reference,
        "description": "Named values for the pairs that choose them.",
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **whole}
