"""Change the content of a file at random, as damage does and as an enemy would."""

import io
import json
import re
import zipfile
from collections.abc import Callable
from random import Random
from typing import Any

_NUMBERS = ("0", "-1", "1e999", "NaN", "1e-300", "9" * 400, "0x7f", "2147483648", "1_0", "")
_BYTES = (0, 1, 0x7F, 0x80, 0xFF)


def changed_bytes(content: bytes, random: Random) -> bytes:
    """Return the content with one to four changes of bytes."""
    for _ in range(random.choice((1, 1, 2, 4))):
        content = random.choice(_CHANGES)(content, random)
    return content


def changed_text(content: bytes, random: Random) -> bytes:
    """Return text with changed numbers, words, lines or bytes."""
    if random.random() < 0.3:
        return changed_bytes(content, random)
    parts = re.split(r"([\s,:;{}\[\]()\"=]+)", content.decode())
    for _ in range(random.choice((1, 1, 2, 4))):
        index = random.randrange(len(parts))
        parts[index] = random.choice(
            (random.choice(_NUMBERS), random.choice(parts), parts[index] * 3, "[" * 2000, "é\0")
        )
    return "".join(parts).encode()


def changed_json(content: bytes, random: Random) -> bytes:
    """Return JSON with changed values and keys, or changed text."""
    if random.random() < 0.3:
        return changed_text(content, random)
    value = json.loads(content)
    for _ in range(random.choice((1, 1, 2))):
        value = _changed_value(value, random)
    return json.dumps(value).encode()


def changed_zip(content: bytes, random: Random) -> bytes:
    """Return a zip with changed members and right checksums, or changed bytes."""
    if random.random() < 0.3:
        return changed_bytes(content, random)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = random.choice([*members, *(n for n in members if n.endswith(("pkl", "npy")))])
    if random.random() < 0.8:
        # Most changes go to the start, which describes the rest.
        start = members[name][:512]
        members[name] = changed_bytes(start, random) + members[name][512:]
    elif random.random() < 0.5:
        del members[name]
    else:
        members[name] = members[random.choice(list(members))]
    target = io.BytesIO()
    how = zipfile.ZIP_DEFLATED if random.random() < 0.1 else zipfile.ZIP_STORED
    with zipfile.ZipFile(target, "w", how) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return target.getvalue()


def _changed_value(value: Any, random: Random) -> Any:
    if isinstance(value, dict) and value and random.random() < 0.9:
        key = random.choice(list(value))
        kind = random.random()
        if kind < 0.1:
            return {k: v for k, v in value.items() if k != key}
        if kind < 0.2:
            return {**value, random.choice(("x", "__class__", "é\n", key * 50)): value[key]}
        return {**value, key: _changed_value(value[key], random)}
    if isinstance(value, list) and value and random.random() < 0.8:
        index = random.randrange(len(value))
        return [*value[:index], _changed_value(value[index], random), *value[index + 1 :]]
    odd = (
        None,
        True,
        -1,
        0,
        1.5,
        1e400,
        float("nan"),
        10**30,
        "x",
        "",
        [],
        {},
        [[]],
        value,
        [value],
    )
    return random.choice(odd)


def _flip(content: bytes, random: Random) -> bytes:
    return _put(content, random, lambda old: old ^ (1 << random.randrange(8)))


def _replace(content: bytes, random: Random) -> bytes:
    return _put(content, random, lambda _: random.choice(_BYTES))


def _put(content: bytes, random: Random, new: Callable[[int], int]) -> bytes:
    if not content:
        return b"\0"
    at = random.choice((random.randrange(len(content)), random.randrange(min(len(content), 64))))
    return content[:at] + bytes([new(content[at])]) + content[at + 1 :]


def _cut(content: bytes, random: Random) -> bytes:
    return content[: random.randrange(len(content) + 1)]


def _delete(content: bytes, random: Random) -> bytes:
    start, end = _range(content, random)
    return content[:start] + content[end:]


def _repeat(content: bytes, random: Random) -> bytes:
    start, end = _range(content, random)
    return content[:end] + content[start:end] * random.choice((1, 1, 50)) + content[end:]


def _move(content: bytes, random: Random) -> bytes:
    (start, end), to = _range(content, random), random.randrange(len(content) + 1)
    return content[:to] + content[start:end] + content[to + end - start :]


def _insert(content: bytes, random: Random) -> bytes:
    at = random.randrange(len(content) + 1)
    return content[:at] + random.randbytes(random.choice((1, 4, 64))) + content[at:]


def _range(content: bytes, random: Random) -> tuple[int, int]:
    start = random.randrange(len(content) + 1)
    return start, min(len(content), start + random.choice((1, 2, 4, 8, 100)))


_CHANGES = (_flip, _flip, _replace, _cut, _delete, _repeat, _move, _insert)
