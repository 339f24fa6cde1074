"""The forms in which C++ writes an integer: bases, separators, suffixes, parentheses, casts.

    -128  0x80  0b1000'0000  0200  5u  (-5)  -(5)  int8_t(5)  (ap_int<8>)5  static_cast<int8_t>(5)

A cast to a type of known width wraps as in C++. `decimal_text` rewrites all of them, so that
large arrays can be read by one regular expression.
"""

import re

_LITERAL = re.compile(
    rb"(?:0[xX](?P<hex>[0-9a-fA-F](?:'?[0-9a-fA-F])*)|0[bB](?P<bin>[01](?:'?[01])*)"
    rb"|(?P<dec>[0-9](?:'?[0-9])*))(?P<suffix>[uU](?:ll|LL|[lLzZ])?|(?:ll|LL|[lLzZ])[uU]?)?"
)
_TYPE = rb"(?:[A-Za-z_:][\w:]*+\s*+)++(?:<\s*[0-9]{1,4}\s*>)?"
_CAST = re.compile(
    rb"(?:static_cast\s*<\s*(?P<to>" + _TYPE + rb")\s*>\s*\(|\(\s*(?P<c>" + _TYPE + rb")\s*\)"
    rb"|(?P<call>" + _TYPE + rb")\s*\()"
)
_INTEGER_TYPES = (  # types of known width
    re.compile(r"\bap_(?P<unsigned>u?)int ?< ?(?P<bits>[0-9]{1,2}) ?>"),
    re.compile(r"\b(?P<unsigned>u?)int(?P<bits>8|16|32)_t\b"),
)
_ELEMENT = re.compile(rb"[^\s,{}][^,{}]*+")
_PLAIN = re.compile(rb"[+-]?(?:0|[1-9][0-9]{0,9})")
_LONGEST = 200  # characters of a value
_PIECE = 1 << 16  # bytes
_DIGITS = 66  # of a literal: 64 binary ones


class Values(dict[bytes, bytes]):
    """Remembers the decimal form of each text of a value; what is no integer stays as it is."""

    def __missing__(self, text: bytes) -> bytes:
        value = integer(text)
        breaks = b"\n" * text.count(b"\n")
        result = text if value is None else b"%d%s" % (value, breaks)
        if len(self) < 100_000:
            self[text] = result
        return result


def decimal_text(code: bytes) -> bytes:
    """Return an initialiser with all integers as plain decimals; line breaks stay."""
    values, rewritten, at = Values(), bytearray(), 0
    while at < len(code):  # piece by piece, because `sub` keeps an object for each value
        comma = code.rfind(b",", at, at + _PIECE)
        end = (code.find(b",", at) if comma < 0 else comma) + 1 or len(code)
        rewritten += _ELEMENT.sub(lambda match: values[match[0]], code[at:end])
        at = end
    return bytes(rewritten)


def integer(text: bytes) -> int | None:
    """Return the value of an integer in any of the forms above, None if it is not one.

    >>> integer(b"-0x1F"), integer(b"uint8_t(-1)"), integer(b"1.5")
    (-31, 255, None)
    """
    text = text.strip()
    if not text or len(text) > _LONGEST:
        return None
    if _PLAIN.fullmatch(text):
        return int(text)
    if text[:1] in b"+-":
        value = integer(text[1:]) if text[1:2] not in b"+-" else None
        if value is None or (text[:1] == b"-" and b"u" in text.lower() and b"(" not in text):
            return None  # minus an unsigned number is a large one
        return -value if text[:1] == b"-" else value
    literal = _LITERAL.fullmatch(text)
    if literal:
        return _literal(literal)
    if text.startswith(b"(") and text.endswith(b")") and (inner := integer(text[1:-1])) is not None:
        return inner
    return _cast(text)


def range_of_type(declared: str) -> tuple[int, int, str] | None:
    """Return lowest and highest value and the name of an integer type of known width, or None.

    >>> range_of_type("const ap_uint < 4 >")
    (0, 15, 'ap_uint<4>')
    """
    for pattern in _INTEGER_TYPES:
        match = pattern.search(declared)
        if match and 1 <= (bits := int(match["bits"])) <= 64:
            unsigned = match["unsigned"] == "u"
            low, high = (0, 2**bits - 1) if unsigned else (-(2**bits) // 2, 2**bits // 2 - 1)
            return low, high, match[0].replace(" ", "")
    return None


def _literal(match: re.Match[bytes]) -> int | None:
    for name, base in (("hex", 16), ("bin", 2), ("dec", 10)):
        digits = (match[name] or b"").replace(b"'", b"")
        if not digits:
            continue
        if base == 10 and digits.startswith(b"0") and len(digits) > 1:  # octal
            base = 8
        if len(digits) > _DIGITS or (base == 8 and any(digit in b"89" for digit in digits)):
            return None
        value = int(digits, base)
        return value if value < 2**63 else None
    return None


def _cast(text: bytes) -> int | None:
    match = _CAST.match(text)
    if match is None:
        return None
    rest = text[match.end() :]
    if match["c"] is None:
        if not rest.endswith(b")"):
            return None
        rest = rest[:-1]
    value = integer(rest)
    to_type = (match["to"] or match["c"] or match["call"]).decode("latin1")
    known = range_of_type(" ".join(to_type.split()))
    if value is None or known is None:
        return value
    low, high, _ = known
    return (value - low) % (high - low + 1) + low
