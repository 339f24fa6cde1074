"""The plan of one design, as stages/plan.py writes it to design.json and later stages read it."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from hls.cpp.accelerators import ACCELERATORS, STREAMING
from hls.plan.sizes import Sizes
from hls.plan.streaming.binding import Binding
from hls.plan.streaming.folding import Folding, check_folding
from models.files.errors import PipelineError
from models.files.integrity import check_recorded

_DIGEST = "sha256"

INT_MAX = 2**31 - 1
MAX_BYTES = 1 << 20  # of a design.json; ours have 1.5 kB
_WORD = re.compile("[A-Za-z][A-Za-z0-9_]{0,99}")  # names of variants, accelerators and FIFOs


@dataclass(frozen=True)
class Design:
    """The plan of a design. A streaming design has a folding and FIFO depths, a SIMD one an array.

    `fifo_depths` holds the depths in words of token_mixer_shortcut, mlp_shortcut and link (all
    other FIFOs). `binding` says what the memories and multipliers of a streaming design are built
    of. `array` holds the rows and columns of multipliers.
    """

    variant: str
    accelerator: str
    sizes: Sizes
    folding: Folding | None = None
    fifo_depths: Mapping[str, int] | None = None
    array: tuple[int, int] | None = None
    binding: Binding = field(default_factory=Binding)

    def to_text(self) -> str:
        """Return the text of design.json; its last key is the digest of the others."""
        values = asdict(self)
        return json.dumps({**values, _DIGEST: _digest(values)}, indent=2) + "\n"


def read_design(path: Path, sizes: Sizes | None = None) -> Design:
    """Read a design.json.

    `sizes` are the sizes of the network that the design must match; None skips this check. Raises
    PipelineError if the file is missing, damaged, is not a plan or was made for other sizes.
    """
    try:
        data = _bytes(path)
        values = json.loads(data)
        written = values.pop(_DIGEST, None)
        if written is None:  # made before plans had a digest
            check_recorded(path, data)
        elif written != _digest(values):
            raise _Refused("its digest is not that of its content")
        design = _design(values)
    except FileNotFoundError:
        raise PipelineError(
            f"{path} is missing; run `dvc repro plan` to make it (of a network that was imported: "
            "`python -m stages.plan NAME`)."
        ) from None
    except OSError as error:
        raise PipelineError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = str(error) if isinstance(error, _Refused) else type(error).__name__
        raise PipelineError(
            f"{path} is not a plan of a design, or is damaged ({reason}); remove it and run "
            "`dvc repro plan` again."
        ) from None
    if sizes is not None and design.sizes != sizes:
        raise PipelineError(
            f"{path} was made for {design.sizes}, but the network of {design.variant} has {sizes}; "
            "run `dvc repro plan`."
        )
    return design


def _digest(values: Mapping[str, Any]) -> str:
    """Return the SHA-256 of values whose order and layout do not count."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise _Refused(f"it has more than {MAX_BYTES} bytes")
    return content


class _Refused(ValueError):
    """A value that a design cannot have; the message names it."""


def _design(values: dict[str, Any]) -> Design:
    if values["accelerator"] not in ACCELERATORS:
        raise _Refused(f"accelerator is {ascii(values['accelerator'])[:60]}")
    values["sizes"] = Sizes(**values["sizes"])
    values["binding"] = Binding.from_dict(values["binding"])
    if values["accelerator"] == STREAMING:
        values["folding"] = Folding.from_dict(values["folding"])
    else:
        values["array"] = tuple(values["array"])
    design = Design(**values)
    _check(design, Design, "")
    if design.folding is not None:
        try:
            check_folding(design.folding, design.sizes)
        except PipelineError as error:
            raise _Refused(str(error).rstrip(".")) from None
    needed = (design.folding, design.fifo_depths)
    if (None in needed) if design.accelerator == STREAMING else design.array is None:
        raise _Refused("folding and fifo_depths, or array, is missing")
    return design


def _check(value: object, hint: Any, where: str) -> None:  # noqa: ANN401 - a type or a form of one
    """Raise _Refused, with the key `where`, unless a value is of the type that its field has.

    The values become C++, so a number must be a whole number of 0 to INT_MAX, and a text a word.
    """
    forms, origin = get_args(hint), get_origin(hint)
    if is_dataclass(hint) and isinstance(hint, type) and isinstance(value, hint):
        for name, field_hint in get_type_hints(hint).items():
            _check(getattr(value, name), field_hint, f"{where}.{name}".lstrip("."))
    elif origin in (Union, UnionType):
        if value is not None or NoneType not in forms:
            _check(value, next(form for form in forms if form is not NoneType), where)
    elif origin is tuple and isinstance(value, tuple) and len(value) == len(forms):
        for index, item in enumerate(value):
            _check(item, forms[index], f"{where}[{index}]")
    elif origin is Mapping and isinstance(value, Mapping):
        for name, item in value.items():
            _check(name, forms[0], f"a key of {where}")
            _check(item, forms[1], f"{where}.{name}")
    elif not (
        (hint is bool and isinstance(value, bool))
        or (hint is int and type(value) is int and 0 <= value <= INT_MAX)
        or (hint is float and isinstance(value, int | float) and -INT_MAX <= value <= INT_MAX)
        or (hint is str and isinstance(value, str) and _WORD.fullmatch(value))
    ):
        raise _Refused(f"{where} is {ascii(value)[:60]}")
