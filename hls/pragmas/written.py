"""Read the words of a pragma: its directive, options and flags."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from hls.pragmas import directives as known
from hls.pragmas.directives import DIRECTIVES, VERSION, Directive
from hls.pragmas.source import Pragma

_OPERATORS = frozenset("+-*/%")


@dataclass(frozen=True)
class Written:
    """A pragma as it was read: directive, flags, and values by option, in lower-case names."""

    name: str
    values: Mapping[str, str]
    flags: Collection[str]

    def value(self, option: str) -> str:
        """Return the value in lower case; "" if the option is not given."""
        return self.values.get(option, "").lower()


class Wrong(Exception):
    """What is wrong with a pragma."""


def read(pragma: Pragma) -> Written:
    """Read a pragma that starts with HLS; Wrong names the word that UG1399 does not have."""
    words = [*pragma.words[1:]]
    name = words.pop(0).lower() if words else ""
    if name in known.REPLACED:
        raise Wrong(f"{name.upper()} is of older tools; {VERSION} has {known.REPLACED[name]}.")
    if name not in DIRECTIVES:
        raise Wrong(f"{name.upper()!r} is not a directive of {VERSION}.")
    directive = DIRECTIVES[name]
    values: dict[str, str] = {}
    flags: set[str] = set()
    while words:
        word = words.pop(0).lower()
        if words[:1] == ["="]:
            if word not in directive.options:
                raise Wrong(f"{name.upper()} has no option {word!r} in {VERSION}.")
            if word in values:
                raise Wrong(f"{name.upper()} has the option {word!r} twice.")
            words.pop(0)
            values[word] = _take_value(words)
            if not values[word]:
                raise Wrong(f"the option {word!r} of {name.upper()} has no value.")
        elif word in directive.flags:
            flags.add(word)
        else:
            option = _option_of(word, directive)
            if option is None or option in values:
                raise Wrong(f"{name.upper()} does not take {word!r} here in {VERSION}.")
            values[option] = word
    return Written(name, values, flags)


def _take_value(words: list[str]) -> str:
    """Take one value, which may be an expression, from the front of `words`."""
    taken: list[str] = []
    depth = 0
    while words:
        follows = bool(taken) and depth == 0 and taken[-1] not in _OPERATORS | {"::", ".", "("}
        joins = words[0] in _OPERATORS | {"::", "."} or depth > 0
        if follows and not joins:
            break
        depth += (words[0] == "(") - (words[0] == ")")
        taken.append(words.pop(0))
    return "".join(taken)


def _option_of(word: str, directive: Directive) -> str | None:
    """Return the option whose value may stand alone as `word`."""
    options = directive.options.items()
    return next((name for name, o in options if o.bare and word in o.values), None)
