"""The description of an activation in specs/: its class, its options, its form in INT8."""

import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

LARGEST_COUNT = 4096  # knots or terms per channel
_LARGEST_INT = 1 << 63  # limit for ints that are converted to float


@dataclass(frozen=True)
class Option:
    """The rule for one option: its type, a test of the value, and the description of the rule."""

    type: type
    allowed: str
    test: Callable[[Any], bool]

    def check(self, key: str, value: object) -> Any:  # noqa: ANN401 - int or float, by `self.type`
        """Return `value`, an int as float if `type` is float.

        Raises ValueError, with key, value and rule, if it is not allowed.
        """
        whole = self.type is float and type(value) is int and abs(value) < _LARGEST_INT
        if (not whole and type(value) is not self.type) or not self.test(value):
            raise ValueError(f"{key} is {reprlib.repr(value)}, but must be {self.allowed}.")
        return self.type(value)


@dataclass(frozen=True)
class ActivationSpec:
    """The name of an activation's class, its options, and whether INT8 needs tables for it.

    `tabulated`: the INT8 network evaluates the activation with a table per channel, and the network
    has it before and after `linear_1`; otherwise only after `linear_1`.
    """

    class_name: str
    options: Mapping[str, Option]
    tabulated: bool

    def check(self, options: Mapping[str, object], where: str) -> dict[str, Any]:
        """Return the checked options; ValueError names the first bad key as `<where>.<key>`."""
        for key in options:
            if key not in self.options:
                allowed = ", ".join(self.options) or "no options"
                raise ValueError(f"{where}.{key} is not a known option; allowed: {allowed}.")
        return {key: self.options[key].check(f"{where}.{key}", options[key]) for key in options}


def at_least(minimum: int) -> Option:
    """Return the rule for a whole number from `minimum` to 4096, which memory can hold."""
    words = f"a whole number >= {minimum} and <= {LARGEST_COUNT}"
    return Option(int, words, lambda value: minimum <= value <= LARGEST_COUNT)


POSITIVE = Option(float, "a number > 0 and <= 1000", lambda value: 0 < value <= 1000)
NOT_NEGATIVE = Option(float, "a number >= 0 and <= 1000", lambda value: 0 <= value <= 1000)
