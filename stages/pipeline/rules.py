"""Words for what pydantic refuses: one sentence that names key, value and what may stand there.

A section of params.yaml is a frozen pydantic dataclass, so that `asdict` and `replace` work on it.
The words of a type are those of its `rule`. Strictness is per rule, because pydantic's strictness
of a whole dataclass would refuse the mappings of YAML.
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


def rule(words: str, pattern: str | None = None, **limits: Any) -> Any:  # noqa: ANN401 - as pydantic's Field has it
    """Return the strict `Field` of what is said in `words` and held by pydantic's `limits`."""
    return Field(strict=True, pattern=pattern, description=words, **limits)


def one_of(*choices: str) -> Any:  # noqa: ANN401 - as pydantic's Field has it
    """Return the `Field` of a text that must be one of the `choices`."""
    words, pattern = f"one of: {', '.join(choices)}", f"^({'|'.join(choices)})$"
    return rule(words, pattern, examples=[*choices])


Count = Annotated[int, rule("a whole number >= 1", ge=1)]
Positive = Annotated[float, rule("a number > 0", gt=0)]


_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring = 2, 80
_UNKNOWN_KEY = ("unexpected_keyword_argument", "invalid_key")


def validated(cls: type[T], values: object, where: str = "", others: Iterable[str] = ()) -> T:
    """Return the dataclass `cls` made of `values`, which stand under the key `where`.

    PipelineError tells one mistake. `others` are keys that may stand beside the fields of `cls`
    and were taken out of `values` by the caller; the list of known keys names them, too.
    """
    try:
        return TypeAdapter(cls).validate_python(values)
    except ValidationError as error:
        mistakes = error.errors(include_url=False)
        # An unknown key goes first: it may be the missing one, misspelt. Then the deepest, since
        # that is the one meant where a value may be of several forms.
        first = max(mistakes, key=lambda m: (m["type"] in _UNKNOWN_KEY, len(m["loc"])))
        raise PipelineError(_sentence(cls, first, values, where, others)) from None


def refused(key: str, value: object, allowed: str, choices: Iterable[str] = ()) -> str:
    """Return the sentence that refuses `value`, with the nearest of the `choices`."""
    guess = did_you_mean(value, choices) if isinstance(value, str) else ""
    return f"{key} is {_shown(value)}{guess}, but must be {allowed}."


def unknown_key(full: str, key: object, known: Iterable[str]) -> str:
    """Return the sentence that refuses `key`, whose full form is `full`."""
    known = list(known)
    guess = did_you_mean(str(key), known)
    return f"{full} is not a known key{guess}; allowed: {', '.join(known) or 'none'}."


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " (did you mean ...?)" for the known name that is nearest, "" when none is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def printable(key: object) -> str:
    """Return a key as it can stand in a one-line message."""
    return key if isinstance(key, str) and key.isprintable() else _SHORT.repr(key)


def _sentence(
    cls: type, mistake: ErrorDetails, given: object, where: str, others: Iterable[str]
) -> str:
    """Follow the location of a mistake through types and values, and say what is wrong there."""
    values: Any = given
    hint: Any = cls
    key, kind, location = where, mistake["type"], mistake["loc"]
    for number, part in enumerate(location, 1):
        fields = _fields(hint)
        known = [*fields, *(others if hint is cls else ())]
        name = f"{key}.{printable(part)}" if key else printable(part)
        if kind in _UNKNOWN_KEY and number == len(location):
            return unknown_key(name, part, known)
        if part in fields:  # else an item of a list, told as a whole, or a form of a union
            hint, key = fields[str(part)], name
            values = values.get(part)
            if kind == "missing" and number == len(location):
                return f"{name} is missing; it must be {_words(hint)}."
    if kind == "value_error" and is_dataclass(hint):
        return f"{key}.{mistake['ctx']['error']}"
    choices = getattr(_field(hint), "examples", None) or ()
    return refused(key or "the whole file", values, _words(hint), choices)


def _fields(hint: Any) -> dict[str, Any]:  # noqa: ANN401 - a type, or a form that stands for one
    """Return the types of the keys of a section, or of the section among several forms."""
    if is_dataclass(hint):
        return get_type_hints(hint, include_extras=True)
    return next((fields for form in get_args(hint) if (fields := _fields(form))), {})


def _field(hint: Any) -> object:  # noqa: ANN401 - a type, or a form that stands for one
    """Return the last `Field` that is annotated to a type; None if there is none."""
    fields = [field for field in getattr(hint, "__metadata__", ()) if hasattr(field, "description")]
    return fields[-1] if fields else None


def _words(hint: Any) -> str:  # noqa: ANN401 - a type, or a form that stands for one
    """Return what a value of a type must be, in words."""
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
    """Return the value as YAML would have it, shortened."""
    if value is None:
        return "null (nothing)"
    if isinstance(value, bool):
        return str(value).lower()
    return "a mapping" if isinstance(value, dict) else _SHORT.repr(value)
