"""Rules for YAML values, and dataclasses made of them: the mechanism of params.py.

A rule says what may stand under a key: it has `allowed`, the words for it, and `check(key, value)`,
which returns the value to use or raises PipelineError. `rules_of` reads the rules off a dataclass.
"""

import difflib
import re
import reprlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, is_dataclass
from typing import Any, Protocol, TypeVar, get_type_hints

import yaml

from models.files.errors import PipelineError

T = TypeVar("T")

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring = 2, 80
_NUMBER = re.compile(r"([-+]?[0-9]{1,18}(?:\.[0-9]{0,18})?)(?:[eE]([-+]?)([0-9]{1,3}))?")


class Rule(Protocol):
    """What may stand under a key; `models.float.activations.registry.Option` is one."""

    @property
    def allowed(self) -> str:
        """The words after "must be"."""

    def check(self, key: str, value: object) -> object:
        """Return the value to use, or raise PipelineError."""


@dataclass(frozen=True)
class Nullable:
    """The same as `rule`, or null."""

    rule: Rule

    @property
    def allowed(self) -> str:
        """The words of the rule, or null."""
        return f"{self.rule.allowed}, or null"

    def check(self, key: str, value: object) -> object:
        """Return None for null."""
        return None if value is None else self.rule.check(key, value)


@dataclass(frozen=True)
class Triple:
    """A list of three values that each obey `rule`; becomes a tuple."""

    rule: Rule

    @property
    def allowed(self) -> str:
        """The words of the rule, for three."""
        return f"a list of three values, each {self.rule.allowed}"

    def check(self, key: str, value: object) -> tuple[object, ...]:
        """Return the three values."""
        if not isinstance(value, list) or len(value) != 3:
            raise PipelineError(f"{key} must be {self.allowed}.")
        return tuple(self.rule.check(key, item) for item in value)


@dataclass(frozen=True)
class Leaf:
    """A value with no keys below it: `rule`, with messages in the words of YAML."""

    rule: Rule

    @property
    def allowed(self) -> str:
        """The words of the rule."""
        return self.rule.allowed

    def check(self, key: str, value: object) -> object:
        """Return the value; of a number that YAML reads as text (1e-3), say how to write it."""
        try:
            return self.rule.check(key, value)
        except PipelineError:
            message = f"{key} is {_shown(value)}, but must be {self.allowed}"
            raise PipelineError(f"{message}{self._respelling(key, value)}.") from None

    def _respelling(self, key: str, value: object) -> str:
        match = _NUMBER.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            return ""
        mantissa, sign, exponent = match.groups()
        spelled = mantissa
        if exponent:  # YAML 1.1 wants both the point and the sign
            spelled += f"{'' if '.' in mantissa else '.0'}e{sign or '+'}{exponent}"
        try:
            self.rule.check(key, yaml.safe_load(spelled))
        except PipelineError:
            return ""
        return f"; write {spelled} without quotes, because YAML takes this spelling for text"


@dataclass(frozen=True)
class AnyMapping:
    """A mapping whose rows are checked elsewhere."""

    allowed: str = "a mapping of keys to values"

    def check(self, key: str, value: object) -> dict[Any, Any]:
        """Return the mapping."""
        if not isinstance(value, dict):
            raise PipelineError(f"{key} is {_shown(value)}, but must be {self.allowed}.")
        return value


@dataclass(frozen=True)
class Section:
    """A mapping that becomes the dataclass `cls`: every field there, and nothing else."""

    cls: type

    @property
    def allowed(self) -> str:
        """The keys it must hold."""
        return f"a mapping with the keys {', '.join(rules_of(self.cls))}"

    def check(self, key: str, value: object) -> object:
        """Return the dataclass."""
        return build(self.cls, checked_values(rules_of(self.cls), value, key), key)


def rules_of(cls: type) -> dict[str, Rule]:
    """Return the rule of each field: its `Annotated` metadata, or its type if a dataclass.

    A field without either (checked by other means) has no rule.
    """
    rules: dict[str, Rule] = {}
    for name, hint in get_type_hints(cls, include_extras=True).items():
        if is_dataclass(hint) and isinstance(hint, type):
            rules[name] = Section(hint)
        elif hasattr(hint, "__metadata__"):
            rules[name] = Leaf(hint.__metadata__[0])
    return rules


def checked_values(
    rules: Mapping[str, Rule], given: object, where: str, optional: Collection[str] = ()
) -> dict[str, Any]:
    """Return the checked value of every key of the mapping `given`, which stands under `where`.

    PipelineError names an unknown key, a missing one (unless in `optional`) or a bad value.
    """
    prefix = f"{where}." if where else ""
    rows = AnyMapping().check(where or "the whole file", given)
    for key in rows:
        if key not in rules:
            guess, known = did_you_mean(str(key), rules), ", ".join(rules)
            raise PipelineError(
                f"{prefix}{printable(key)} is not a known key{guess}; allowed: {known}."
            )
    for key, rule in rules.items():
        if key not in rows and key not in optional:
            raise PipelineError(f"{prefix}{key} is missing; it must be {rule.allowed}.")
    return {key: rules[key].check(f"{prefix}{key}", value) for key, value in rows.items()}


def build(make: Callable[..., T], values: Mapping[str, Any], where: str) -> T:
    """Call `make(**values)`; what a `__post_init__` refuses is told with its full key."""
    try:
        return make(**values)
    except PipelineError as error:
        raise PipelineError(f"{where}.{error}") from None


def merge(general: T, overrides: object, where: str) -> T:
    """Return the dataclass `general` with the checked fields of `overrides` in their places."""
    rules = rules_of(type(general))
    changes = checked_values(rules, overrides, where, optional=rules)
    return build(type(general), {**vars(general), **changes}, where)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " (did you mean ...?)" for the known name that is nearest, "" when none is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def printable(key: object) -> str:
    """Return a key as it can stand in a one-line message."""
    return key if isinstance(key, str) and key.isprintable() else _SHORT.repr(key)


def _shown(value: object) -> str:
    """Return the value as YAML would have it, shortened."""
    if value is None:
        return "null (nothing)"
    if isinstance(value, bool):
        return str(value).lower()
    return "a mapping" if isinstance(value, dict) else _SHORT.repr(value)
