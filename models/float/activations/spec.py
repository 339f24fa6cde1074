"""How a file in specs/ describes an activation: its class, its options, its form in INT8."""

import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_LARGEST_INT = 1 << 63  # a larger int may be no number that a float can stand for


@dataclass(frozen=True)
class Option:
    """What one option of an activation may be: its type, a test and the words for it."""

    type: type
    allowed: str
    test: Callable[[Any], bool]

    def check(self, key: str, value: object) -> Any:  # noqa: ANN401 - int or float, by `self.type`
        """Return `value` (an int is taken for a float); ValueError names key, value, allowed."""
        whole = self.type is float and type(value) is int and abs(value) < _LARGEST_INT
        if (not whole and type(value) is not self.type) or not self.test(value):
            raise ValueError(f"{key} is {reprlib.repr(value)}, but must be {self.allowed}.")
        return self.type(value)


@dataclass(frozen=True)
class ActivationSpec:
    """The name of an activation's class, its options, and whether INT8 needs tables for it.

    `tabulated`: the INT8 network evaluates it by a table per channel, and it stands before and
    after the first linear layer; otherwise it stands after that layer only.
    """

    class_name: str
    options: Mapping[str, Option]
    tabulated: bool

    def check(self, options: Mapping[str, object], where: str) -> dict[str, Any]:
        """Return the checked options, which stand under the key `where`; ValueError names a key."""
        for key in options:
            if key not in self.options:
                allowed = ", ".join(self.options) or "no options"
                raise ValueError(f"{where}.{key} is not a known option; allowed: {allowed}.")
        return {key: self.options[key].check(f"{where}.{key}", options[key]) for key in options}


def at_least(minimum: int) -> Option:
    """Return the rule of a whole number that is not less than `minimum`."""
    return Option(int, f"a whole number >= {minimum}", lambda value: value >= minimum)


POSITIVE = Option(float, "a number > 0", lambda value: 0 < value < float("inf"))
NOT_NEGATIVE = Option(float, "a number >= 0", lambda value: 0 <= value < float("inf"))
