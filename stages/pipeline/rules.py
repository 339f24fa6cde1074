"""Turn pydantic's errors into one sentence that names the key, its value and what is allowed.

Each section of params.yaml is a frozen pydantic dataclass, so `asdict` and `replace` work on it.
`rule` attaches to a type the words for its allowed values. Each rule is strict by itself, because a
strict pydantic dataclass would refuse the mappings that YAML returns.
"""

import difflib
import reprlib
from collections.abc import Iterable
from dataclasses import is_dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from models.files.errors import PipelineError

T = TypeVar("T")

SECTION = ConfigDict(extra="forbid", allow_inf_nan=False)
_SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


def rule(words: str, pattern: str | None = None, **limits: Any) -> Any:  # noqa: ANN401 - as pydantic's Field has it
    """Return a strict `Field` with the description `words` and pydantic's `limits`."""
    return Field(strict=True, pattern=pattern, description=words, **limits)


def one_of(*choices: str) -> Any:  # noqa: ANN401 - as pydantic's Field has it
    """Return a `Field` for a text that must be one of the `choices`."""
    words, pattern = f"one of: {', '.join(choices)}", f"^({'|'.join(choices)})$"
    return rule(words, pattern, examples=[*choices])


def number(kind: str = "a number", unit: str = "", **limits: Any) -> Any:  # noqa: ANN401 - as pydantic's Field has it
    """Return a `Field` for a number within pydantic's `limits`, for example gt=0, le=9."""
    words = " and ".join(f"{_SIGNS[key]} {limit}" for key, limit in limits.items())
    return rule(f"{kind} {words}{unit}", **limits)


def whole(low: int, high: int, unit: str = "") -> Any:  # noqa: ANN401 - as pydantic's Field has it
    """Return a `Field` for a whole number from `low` to `high`."""
    return number("a whole number", unit, ge=low, le=high)


# Upper ends are what a machine can hold or a person can wait for: a slip of the pen is refused
# here, and not by the memory hours later.
Count = Annotated[int, whole(1, 10_000_000)]
Size = Annotated[int, whole(1, 16_384)]
Positive = Annotated[float, number(gt=0, le=1_000_000_000)]

_LONGEST = 80  # characters of a name or value in a message
_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring = 2, _LONGEST
_UNKNOWN_KEY = ("unexpected_keyword_argument", "invalid_key")


def validated(cls: type[T], values: object, where: str = "", others: Iterable[str] = ()) -> T:
    """Return the dataclass `cls` made from `values`, the content of the key `where`.

    Raises PipelineError for one mistake. `others` are keys that are allowed next to the fields of
    `cls` and that the caller has removed from `values`; error messages list them as known keys,
    too.
    """
    try:
        return TypeAdapter(cls).validate_python(values)
    except ValidationError as error:
        mistakes = error.errors(include_url=False)
        # An unknown key is reported first: it may be a missing key, misspelt. Otherwise the
        # deepest mistake: for a union it belongs to the form that the user most likely meant.
        first = max(mistakes, key=lambda m: (m["type"] in _UNKNOWN_KEY, len(m["loc"])))
        raise PipelineError(_sentence(cls, first, values, where, others)) from None


def refused(key: str, value: object, allowed: str, choices: Iterable[str] = ()) -> str:
    """Return the error for a bad `value` of `key`, with the closest of the `choices`."""
    guess = did_you_mean(value, choices) if isinstance(value, str) else ""
    return f"{key} is {_shown(value)}{guess}, but must be {allowed}."


def unknown_key(full: str, key: object, known: Iterable[str]) -> str:
    """Return the error for an unknown `key`, with its dotted name `full` and the nearest key."""
    known = list(known)
    guess = did_you_mean(str(key), known)
    return f"{full} is not a known key{guess}; allowed: {', '.join(known) or 'none'}."


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " (did you mean ...?)" with the closest known name, "" if none is close."""
    near = difflib.get_close_matches(name[:_LONGEST], list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def printable(key: object) -> str:
    """Return a key as text that fits in a one-line message."""
    plain = isinstance(key, str) and key.isprintable() and len(key) <= _LONGEST
    return str(key) if plain else _SHORT.repr(key)


def _sentence(
    cls: type, mistake: ErrorDetails, given: object, where: str, others: Iterable[str]
) -> str:
    """Follow the location of a mistake through types and values; return the error for it.

    The location is pydantic's, such as ("variants", "relu_h96", "distill", "epochs"). It also has
    parts that are no keys of the user: the numbers of list items and the names of a union's forms.
    So each part is looked up in the type that was reached (`hint`). A field or the name of a row
    leads on; every other part is passed over, and the value above it is reported. `key` is the
    dotted name of what was reached, `values` what the user wrote there.
    """
    values: Any = given
    hint: Any = cls
    key, kind, location = where, mistake["type"], mistake["loc"]
    for number, part in enumerate(location, 1):
        fields = _fields(hint)
        known = [*fields, *(others if hint is cls else ())]
        name = f"{key}.{printable(part)}" if key else printable(part)
        if kind in _UNKNOWN_KEY and number == len(location):
            return unknown_key(name, part, known)
        if part in fields:  # else a list item (the list is reported) or a form of a union
            hint, key = fields[str(part)], name
            values = values.get(part)
            if kind == "missing" and number == len(location):
                return f"{name} is missing; it must be {_words(hint)}."
        elif get_origin(hint) is dict:  # a table of rows
            hint, key, values = get_args(hint)[1], name, values.get(part)
    if kind == "value_error" and is_dataclass(hint):
        return f"{key}.{mistake['ctx']['error']}"
    choices = getattr(_field(hint), "examples", None) or ()
    return refused(key or "the whole file", values, _words(hint), choices)


def _fields(hint: Any) -> dict[str, Any]:  # noqa: ANN401 - a type, or a form that stands for one
    """Return {key: type} of a section; for a union, of its first form that is a section."""
    if is_dataclass(hint):
        return get_type_hints(hint, include_extras=True)
    return next((fields for form in get_args(hint) if (fields := _fields(form))), {})


def _field(hint: Any) -> object:  # noqa: ANN401 - a type, or a form that stands for one
    """Return the last `Field` in a type's annotations, None if there is none."""
    fields = [field for field in getattr(hint, "__metadata__", ()) if hasattr(field, "description")]
    return fields[-1] if fields else None


def _words(hint: Any) -> str:  # noqa: ANN401 - a type, or a form that stands for one
    """Return the allowed values of a type, in words."""
    origin, forms = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return getattr(_field(hint), "description", None) or _words(forms[0])
    if origin in (Union, UnionType):
        return ", or ".join(map(_words, forms))
    if origin is tuple:
        return f"a list of {len(forms)} values, each {_words(forms[0])}"
    if hint is NoneType:
        return "null"
    return f"a mapping with the keys {', '.join(_fields(hint))}"


def _shown(value: object) -> str:
    """Return a value as YAML would write it, shortened."""
    if value is None:
        return "null (nothing)"
    if isinstance(value, bool):
        return str(value).lower()
    return "a mapping" if isinstance(value, dict) else _SHORT.repr(value)
