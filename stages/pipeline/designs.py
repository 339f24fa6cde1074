"""The section `designs` of params.yaml: one row for each piece of hardware made from a variant.

    relu_h96_stream: {variant: relu_h96, accelerator: streaming, folding: published}
    relu_h96_fast:   {variant: relu_h96, accelerator: streaming, target: {images_per_second: 64000}}
    relu_h96_simd:   {variant: relu_h96, accelerator: simd, array: [16, 16]}
    relu_h96_dsp:    {variant: relu_h96, accelerator: streaming, folding: published,
                      multipliers: {dsp: 0.5}, tables: lut}

`folding` is "published" or gives the factors (FoldingFactors below). `target` requests a rate at
hls.clock_ns, or a budget of DSPs (dsp); `plan` then computes the factors. `array` is the number of
rows and columns of multipliers. stages/plan.py checks that factors divide the network's sizes.

Optional for a streaming design: `multipliers`, which are built of what the tool chooses (auto, the
default), all of DSPs (dsp), all of LUTs (fabric), or a share of DSPs and the rest of LUTs ({dsp:
0.5}); and `tables` of activations in block RAM where they are deep (bram, the default), or in LUTs
(lut).
`board`, for either kind, names a board of hls/board/boards.py: its part and clock then replace
hls.part and hls.clock_ns.
"""

from collections.abc import Collection
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from hls.board.boards import BOARDS, OPEN_BOARDS
from hls.cpp.accelerators import SIMD, STREAMING
from models.files.errors import PipelineError
from stages.pipeline.rules import SECTION, Positive, Size, one_of, refused, rule, validated, whole

PUBLISHED = "published"
_SHARES = {"auto": None, "dsp": 1.0, "fabric": 0.0}  # words of `multipliers`, share of DSPs

_TableMemory = Annotated[str, one_of("bram", "lut")]
_FORMS = {STREAMING: ("folding", "target"), SIMD: ("array",)}
_Side = Annotated[int, whole(1, 1_024)]
_ONE_TARGET = "a mapping with one key: images_per_second or dsp"


@dataclass(frozen=True, config=SECTION)
class Factors:
    """Outputs (pe) and inputs (simd) that one matrix product processes per cycle."""

    pe: Size
    simd: Size


@dataclass(frozen=True, config=SECTION)
class FoldingFactors:
    """A folding with given factors; the fields of hls.plan.streaming.folding.Folding."""

    lanes: _Side
    handover: Annotated[
        int,
        rule("0 or 1 (cycles between two vectors; published: 1)", ge=0, le=1),
    ]
    embed_linear: Factors
    token_mixer_linear: Factors
    mlp_linear_1: Factors
    mlp_linear_2: Factors
    classifier_linear: Factors


@dataclass(frozen=True, config=SECTION)
class DesignTarget:
    """The goal for which factors are computed; exactly one of the two is set."""

    images_per_second: Positive | None = None
    dsp: Annotated[int, whole(1, 100_000)] | None = None


@dataclass(frozen=True, config=SECTION)
class Multipliers:
    """The share of the multipliers that are bound to DSPs, 0 to 1; the rest are LUTs."""

    dsp: Annotated[float, rule("a number from 0 to 1, the share of DSPs", ge=0, le=1)]


@dataclass(frozen=True, config=SECTION)
class DesignRow:
    """One row: folding or target (exactly one) for a streaming design, array for a SIMD design.

    `multipliers` and `tables` belong to streaming designs.
    `board` is the board whose part and clock the design is for; None: those of the section hls.
    """

    variant: Annotated[str, rule("one of the variants")]
    accelerator: Annotated[str, one_of(STREAMING, SIMD)]
    folding: Annotated[
        Annotated[str, one_of(PUBLISHED)] | FoldingFactors | None,
        Field(
            description="published, or a mapping of lanes, handover and the factors of each product"
        ),
    ] = None
    target: Annotated[DesignTarget | None, Field(description=_ONE_TARGET)] = None
    array: Annotated[
        tuple[_Side, _Side] | None,
        Field(description="a list of two whole numbers >= 1 and <= 1024, rows and columns"),
    ] = None
    multipliers: Annotated[
        Annotated[str, one_of(*_SHARES)] | Multipliers | None,
        Field(description="auto, dsp or fabric, or a mapping of dsp: the share of DSPs, 0 to 1"),
    ] = None
    tables: Annotated[_TableMemory | None, Field(description="bram or lut")] = None

    @property
    def dsp_share(self) -> float | None:
        """The share of the multipliers that are bound to DSPs; None: the tool chooses."""
        if isinstance(self.multipliers, Multipliers):
            return self.multipliers.dsp
        return _SHARES[self.multipliers or "auto"]

    board: Annotated[str, one_of(*BOARDS, *OPEN_BOARDS)] | None = None


def design_row(where: str, row: object, variants: Collection[str]) -> DesignRow:
    """Return the checked row at the key `where`; PipelineError names the key and its rule."""
    design = validated(DesignRow, row, where)
    if design.variant not in variants:
        known = f"one of the variants: {', '.join(variants)}"
        raise PipelineError(refused(f"{where}.variant", design.variant, known, variants))
    forms = _FORMS[design.accelerator]
    given = [key for key in ("folding", "target", "array") if getattr(design, key) is not None]
    if len(given) != 1 or given[0] not in forms:
        raise PipelineError(
            f"{where} must have exactly one of: {', '.join(forms)} ({design.accelerator}); "
            f"found: {' and '.join(given) or 'none'}."
        )
    for key in ("multipliers", "tables"):
        if design.accelerator != STREAMING and getattr(design, key) is not None:
            raise PipelineError(
                f"{where}.{key} is for streaming designs, but this one is {design.accelerator}; "
                "remove the key."
            )
    if design.target and (design.target.images_per_second is None) == (design.target.dsp is None):
        keys = "none" if design.target.dsp is None else "both"
        raise PipelineError(f"{where}.target has {keys} of its keys, but must be {_ONE_TARGET}.")
    return design
