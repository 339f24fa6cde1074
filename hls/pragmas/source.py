"""Find the pragmas of a C++ file, the block that each stands in, and the names declared there.

This is no C++ parser: it follows braces, and recognises a declared name by its neighbours (a type
before it, a bracket, a comma or the end of the statement behind it). It may take a name for
declared that is not, so a check with it misses some errors, but it accepts all that is right.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

NAMESPACE, CLASS, FUNCTION, LOOP, BLOCK = "namespace", "class", "function", "loop", "block"

_TOKEN = re.compile(
    r"""(?P<pragma>^[ \t]*\#[ \t]*pragma\b(?:[^\n\\]|\\.|\\\n)*)
      |(?P<directive>^[ \t]*\#(?:[^\n\\]|\\.|\\\n)*)
      |(?P<comment>//[^\n]*|/\*.*?\*/)
      |(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      |(?P<word>[A-Za-z_]\w*|\d[\w.']*)
      |(?P<mark>::|->|<<|&&|\S)""",
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)
_NOT_A_TYPE = {"return", "else", "new", "delete", "case", "goto", "typename", "operator", "throw"}
_MACRO = re.compile(r"[A-Z][A-Z_]+")


@dataclass(frozen=True)
class Token:
    """A token and its line, counted from 1; kind: word, mark, text or pragma."""

    kind: str
    text: str
    line: int


@dataclass
class Scope:
    """A block: its kind, the function's name if it is one, and what was seen in it so far.

    `arguments` are the parameters of a function; `statements` counts those that are no pragma and
    declare nothing for the compiler alone (static_assert, using, constexpr).
    """

    kind: str
    name: str = ""
    arguments: frozenset[str] = frozenset()
    declared: set[str] = field(default_factory=set)
    statements: int = 0
    pragmas: list["Pragma"] = field(default_factory=list)


@dataclass(frozen=True)
class Pragma:
    """A pragma of a file: its words, and the blocks around it, the innermost last.

    `declared` are the names of the enclosing function that are declared above the pragma, and
    `statements` the number of statements above it in its own block.
    """

    line: int
    words: tuple[str, ...]
    scopes: tuple[Scope, ...]
    declared: frozenset[str]
    statements: int

    @property
    def scope(self) -> Scope:
        """The block that it stands in."""
        return self.scopes[-1]

    @property
    def function(self) -> Scope | None:
        """The function that it stands in; None outside of all functions."""
        return next((scope for scope in reversed(self.scopes) if scope.kind == FUNCTION), None)


def tokens(text: str) -> Iterator[Token]:
    """Yield the tokens of a C++ text without comments and other preprocessor lines."""
    line, seen = 1, 0
    for found in _TOKEN.finditer(text):
        line += text.count("\n", seen, found.start())
        seen = found.start()
        if found.lastgroup not in ("comment", "directive"):
            yield Token(found.lastgroup or "", found[0], line)


def pragmas(text: str) -> list[Pragma]:
    """Return all pragmas of a C++ text, in order."""
    found: list[Pragma] = []
    scopes = [Scope(NAMESPACE)]
    head: list[Token] = []  # the current statement
    depth = 0  # of parentheses
    braces: list[bool] = []  # per open brace: whether it opened a block
    for token in tokens(text):
        if token.kind == "pragma":
            found.append(_pragma(token, scopes))
            scopes[-1].pragmas.append(found[-1])
        elif token.text == "{":
            scope = None if depth else _scope(_plain(head), scopes[-1])
            braces.append(scope is not None)
            if scope is None:
                head.append(token)
            else:
                scopes[-1].statements += 1
                scopes.append(scope)
                head = []
        elif token.text == "}":
            if braces and braces.pop():
                scopes.pop()
                head = []
            else:
                head.append(token)
        elif token.text == ";" and depth == 0 and (not braces or braces[-1]):
            _end(head, scopes[-1])
            head = []
        else:
            depth += (token.text in "([") - (token.text in ")]")
            head.append(token)
    return found


def all_names(text: str) -> set[str]:
    """Return every word of a C++ text outside of pragmas: a name in none of them is misspelt."""
    return {token.text for token in tokens(text) if token.kind == "word"}


def _pragma(token: Token, scopes: list[Scope]) -> Pragma:
    inside: list[Scope] = []
    for scope in reversed(scopes):
        inside.append(scope)
        if scope.kind == FUNCTION:
            break
    declared = frozenset().union(*(scope.declared | scope.arguments for scope in inside))
    words = re.findall(r"::|[A-Za-z_]\w*|\d\w*|\S", token.text.replace("\\\n", " "))
    return Pragma(token.line, tuple(words[2:]), (*scopes,), declared, scopes[-1].statements)


def _plain(head: list[Token]) -> list[Token]:
    """Return a statement without its labels, macro calls, `template <...>` and access words."""
    head = [*head]
    while head:
        texts = [token.text for token in head[:2]]
        if texts[0] == "template":
            head = head[_matching(head, 1, "<", ">") + 1 :]
        elif len(texts) > 1 and texts[1] == ":" and texts[0] not in ("case",):
            head = head[2:]
        elif len(texts) > 1 and texts[1] == "(" and _MACRO.fullmatch(texts[0]):
            head = head[_matching(head, 1, "(", ")") + 1 :]
        else:
            return head
    return head


def _matching(head: list[Token], start: int, opening: str, closing: str) -> int:
    depth = 0
    for position in range(start, len(head)):
        depth += (head[position].text == opening) - (head[position].text == closing)
        if depth == 0:
            return position
    return len(head) - 1


def _scope(head: list[Token], outer: Scope) -> Scope | None:
    """Return the block that a brace opens behind `head`; None if it is a list of values."""
    texts = [token.text for token in head]
    if outer.kind in (NAMESPACE, CLASS):
        if "namespace" in texts or (texts[:1] == ["extern"] and "(" not in texts):
            return Scope(NAMESPACE)
        if texts and texts[0] in ("struct", "class", "union", "enum") and "(" not in texts:
            return Scope(CLASS)
        if "(" in texts and "=" not in texts[: texts.index("(")]:
            opening = texts.index("(")
            closing = _matching(head, opening, "(", ")")
            arguments = frozenset(_declared(head[opening + 1 : closing]))
            return Scope(FUNCTION, texts[opening - 1], arguments)
        return None
    if texts[:1] in (["for"], ["while"], ["do"]):
        return Scope(LOOP, declared=set(_declared(head[2:])))
    if not texts or texts[0] in ("if", "else", "switch", "try", "catch", "case", "default"):
        return Scope(BLOCK)
    return None


def _end(head: list[Token], scope: Scope) -> None:
    """Note the end of a statement."""
    head = _plain(head)
    if not head:
        return
    scope.declared |= set(_declared(head))
    if head[0].text not in ("static_assert", "using", "constexpr", "static"):
        scope.statements += 1


def _declared(head: Iterable[Token]) -> Iterator[str]:
    """Yield the names that a statement or a list of parameters declares."""
    texts = [token.text for token in head]
    if texts and texts[0] in _NOT_A_TYPE:
        return
    any_so_far, depth = False, 0
    for position, text in enumerate(texts):
        depth += (text in ("(", "[", "{", "<")) - (text in (")", "]", "}", ">"))
        before = texts[position - 1] if position else ""
        behind = texts[position + 1] if position + 1 < len(texts) else ";"
        if not re.fullmatch(r"[A-Za-z_]\w*", text) or behind not in ";,=[({):":
            continue
        is_type = re.fullmatch(r"[A-Za-z_]\w*|[>&*]", before) and before not in _NOT_A_TYPE
        if is_type or (any_so_far and before == "," and depth == 0):
            any_so_far = True
            yield text
