"""The section `designs` of params.yaml: what hardware to make of which variant.

    relu_h96_stream:
      variant: relu_h96
      accelerator: streaming      # streaming or simd
      folding: published          # or the factors by hand; or, in its place,
      target:                     # have the factors worked out:
        images_per_second: 64000  # at hls.clock_ns; or dsp: a budget of DSPs
    relu_h96_simd:
      variant: relu_h96
      accelerator: simd
      array: [16, 16]             # rows and columns of multipliers

Whether factors divide the sizes of the network is checked where they are used (stages/plan.py).
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from hls.cpp.accelerators import SIMD, STREAMING
from models.files.errors import PipelineError
from models.float.activations.registry import Option
from stages.pipeline.rules import AnyMapping, Leaf, Section, checked_values, did_you_mean, printable

PUBLISHED = "published"

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_COUNT = Option(int, "a whole number >= 1", lambda value: value >= 1)
_RATE = Option(float, "a number > 0", lambda value: 0 < value < float("inf"))
_HANDOVER = Option(
    int, "0 or 1 (cycles between two vectors; published: 1)", lambda value: value in (0, 1)
)
_ACCELERATOR = Option(str, f"one of: {STREAMING}, {SIMD}", lambda value: value in (STREAMING, SIMD))
_WORD = Option(
    str,
    f"{PUBLISHED}, or a mapping of lanes, handover and the factors of each product",
    lambda value: value == PUBLISHED,
)


@dataclass(frozen=True)
class Factors:
    """One matrix product: outputs and inputs per cycle."""

    pe: Annotated[int, _COUNT]
    simd: Annotated[int, _COUNT]


@dataclass(frozen=True)
class FoldingFactors:
    """A folding by hand; the fields are those of hls.plan.streaming.folding.Folding."""

    lanes: Annotated[int, _COUNT]
    handover: Annotated[int, _HANDOVER]
    embed_linear: Factors
    token_mixer_linear: Factors
    mlp_linear_1: Factors
    mlp_linear_2: Factors
    classifier_linear: Factors


@dataclass(frozen=True)
class Target:
    """What a folding is worked out for: exactly one of the two is given."""

    images_per_second: float | None = None
    dsp: int | None = None


@dataclass(frozen=True)
class Design:
    """One row: exactly one of folding and target for a streaming design, array for a SIMD one."""

    name: str
    variant: str
    accelerator: str
    folding: str | FoldingFactors | None = None
    target: Target | None = None
    array: tuple[int, int] | None = None


@dataclass(frozen=True)
class _FoldingRule:
    """The word `published`, or the factors."""

    allowed: str = _WORD.allowed

    def check(self, key: str, value: object) -> object:
        return (Section(FoldingFactors) if isinstance(value, dict) else Leaf(_WORD)).check(
            key, value
        )


@dataclass(frozen=True)
class _TargetRule:
    """A mapping with one key."""

    allowed: str = "a mapping with one key: images_per_second or dsp"

    def check(self, key: str, value: object) -> Target:
        rules = {"images_per_second": Leaf(_RATE), "dsp": Leaf(_COUNT)}
        rows = AnyMapping(self.allowed).check(key, value)
        given = checked_values(rules, rows, key, optional=rules)
        if len(given) != 1:
            raise PipelineError(f"{key} has {len(given)} keys, but must be {self.allowed}.")
        return Target(**given)


@dataclass(frozen=True)
class _ArrayRule:
    """Rows and columns."""

    allowed: str = "a list of two whole numbers >= 1, rows and columns of multipliers"

    def check(self, key: str, value: object) -> tuple[object, ...]:
        if not isinstance(value, list) or len(value) != 2:
            raise PipelineError(f"{key} must be {self.allowed}.")
        return tuple(Leaf(_COUNT).check(key, item) for item in value)


_CHOICES: dict[str, dict[str, Any]] = {
    STREAMING: {"folding": _FoldingRule(), "target": _TargetRule()},
    SIMD: {"array": _ArrayRule()},
}


def designs_of(rows: Mapping[Any, object], variants: Collection[str]) -> dict[str, Design]:
    """Check all designs; PipelineError names the key, what it is and what it may be."""
    return {str(name): _design(name, row, variants) for name, row in rows.items()}


def _design(name: object, row: object, variants: Collection[str]) -> Design:
    where = f"designs.{printable(name)}"
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise PipelineError(
            f"{where} is not a usable name; it must be lower-case letters, digits and _, and begin "
            "with a letter."
        )
    rows = AnyMapping("a mapping of variant, accelerator and what is asked of it").check(where, row)
    kinds = [STREAMING, SIMD]  # with no accelerator at all, that is the message to give
    if "accelerator" in rows:
        kinds = [str(Leaf(_ACCELERATOR).check(f"{where}.accelerator", rows["accelerator"]))]
    choices = {key: rule for kind in kinds for key, rule in _CHOICES[kind].items()}
    known = "one of the variants: " + ", ".join(variants)
    fixed = {
        "variant": Leaf(Option(str, known, lambda value: value in variants)),
        "accelerator": Leaf(_ACCELERATOR),
    }
    _check_variant(where, rows.get("variant"), variants)
    values = checked_values({**fixed, **choices}, rows, where, optional=choices)
    given = [key for key in choices if key in values]
    if len(given) != 1:
        found = " and ".join(given) if given else "none"
        raise PipelineError(
            f"{where} must have exactly one of: {', '.join(choices)} ({kinds[0]}); found: {found}."
        )
    return Design(name, **values)


def _check_variant(where: str, variant: object, variants: Collection[str]) -> None:
    """Of a slip of the pen, say which name was meant."""
    guess = did_you_mean(variant, variants) if isinstance(variant, str) else ""
    if guess and variant not in variants:
        raise PipelineError(
            f"{where}.variant is {variant!r}{guess}, but must be one of the variants: "
            f"{', '.join(variants)}."
        )
