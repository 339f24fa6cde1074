"""C++ headers of a network: text in all forms that the parser knows, cut and mixed at random."""

import random
import re
from functools import cache
from pathlib import Path

from hls.headers.parser import read_arrays
from hls.headers.reader import read_network, read_samples

NAME = "headers"
FILE = "quant_params.h"  # the name that the reader looks for

_NAMES = ["embed_linear_w", "embed_linear_b", "blocks_0_mlp_psa_1_lut", "samples_input", "a", "é"]
_TYPES = [
    "const int8_t ",
    "static constexpr ap_int<8> ",
    "ap_uint<99> ",
    "const Segment ",
    "std::array<std::array<int8_t, 2>, 2> ",
    "array<",
    "auto ",
    "",
]
_SIZES = [
    "[2]",
    "[1][2]",
    "[2][2]",
    "[]",
    "[][2]",
    "[0x2u]",
    "[N]",
    "[Design::lanes]",
    "[9999999]",
    "",
]
_VALUES = [
    *("1", "-128", "0x7f", "010", "089", "0b1'0", "'a'", "'\\0'", "'", '"x"', "(5)", "((", "-(-5)"),
    *(
        "int8_t(200)",
        "(int8_t)5",
        "static_cast<int8_t>(5)",
        "1.5",
        "9" * 400,
        "x",
        "- 5",
        "5u",
        "&a",
    ),
]
_PIECES = [
    *("{", "}", "{{", "}}", ",", ";", "=", "(", ")", "<", ">", "[", "]", " ", "\n", "\r\n", "\\\n"),
    *(
        "/*",
        "*/",
        "//",
        "#if 0\n",
        "#else\n",
        "#endif\n",
        "#define X ",
        '"',
        "'",
        'R"(',
        ')"',
        "\0",
    ),
    *("__attribute__((aligned(4)))", "return ", "\ufeff", "é"),
]
_ENCODINGS = ["utf-8"] * 12 + ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]


def mutate(rng: random.Random) -> bytes:
    """Return the bytes of a header: a network's or none's, and noise, in a random encoding."""
    text = _changed_network(rng) if rng.random() < 0.5 else ""
    for _ in range(rng.randint(0, 12 if not text else 1)):
        text += _array(rng) if rng.random() < 0.6 else rng.choice(_PIECES)
    if rng.random() < 0.05:  # the same over and over: what takes quadratic time shows
        text = rng.choice([*_PIECES, *_TYPES, *_VALUES, "a[", "a[1]={", text]) * rng.choice(
            [99, 30_000]
        )
        text = text[:1_000_000]
    data = text.encode(rng.choice(_ENCODINGS), "replace")
    for _ in range(rng.choice([0, 0, 1, 3])):
        at = rng.randint(0, len(data))
        data = data[:at] + rng.choice([b"", rng.randbytes(2), data[: at // 2]]) + data[at + 1 :]
    return data


def read(path: Path) -> None:
    """Read the folder of a header as import_int8 does; the file must have the name FILE."""
    arrays = read_arrays(path.parent)
    network = read_network(arrays, path.parent)
    read_samples(arrays, network, path.parent)


def _changed_network(rng: random.Random) -> str:
    """Return a header of a network with some of its numbers, brackets or pieces changed."""
    text = _network()
    for _ in range(rng.choice([0, 1, 1, 2, 5])):
        start, end = rng.choice([match.span() for match in re.finditer(r"-?\d+|[\[\]{},;=]", text)])
        new = rng.choice([*_VALUES, *_PIECES, "1", "2", "", text[start:end] * 2])
        text = text[:start] + new + text[end:]
    return text


@cache
def _network() -> str:
    """Return a header with every array of a small network and two samples."""
    mixer, mlp = "blocks_0_token_mixer_", "blocks_0_mlp_"
    layers = {"embed_linear": (2, 3), "classifier_linear": (2, 2), f"{mixer}linear": (2, 2)}
    layers |= {f"{mixer}{name}": (2,) for name in ("affine_1", "affine_2", "res_affine")}
    layers |= {f"{mlp}linear_1": (1, 2), f"{mlp}linear_2": (2, 1), f"{mlp}res_affine": (2,)}
    arrays: dict[str, tuple[int, ...]] = {"samples_input": (2, 2, 3), "samples_output": (2, 2)}
    for name, shape in layers.items():
        arrays |= {f"{name}_w": shape, f"{name}_b": shape[:1], f"{name}_s": shape[:1]}
    return "".join(
        f"const int8_t {name}{''.join(f'[{n}]' for n in shape)} = {_braces(shape)};\n"
        for name, shape in arrays.items()
    )


def _braces(shape: tuple[int, ...]) -> str:
    inner = "3" if len(shape) == 1 else _braces(shape[1:])
    return "{" + ", ".join([inner] * shape[0]) + "}"


def _array(rng: random.Random) -> str:
    values = [rng.choice(_VALUES) for _ in range(rng.randint(0, 5))]
    inside = ", ".join(values)
    if rng.random() < 0.5:
        inside = "{" + inside + "}, {" + inside + "}"
    equals = rng.choice([" = ", " = ", "", " == "])
    end = rng.choice([";\n", ";\n", "\n", ",", ""])
    return f"{rng.choice(_TYPES)}{rng.choice(_NAMES)}{rng.choice(_SIZES)}{equals}{{{inside}}}{end}"
