"""Fixtures shared by the tests."""

import os
import sys
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from models.integer.fixed_point import TABLE_KNOTS
from models.integer.params import (
    Array,
    IntBlock,
    IntChannelMlp,
    IntLayer,
    IntResMlp,
    IntTable,
    IntTokenMixer,
)
from tests.support.paths import ROOT

# What a file's tests do, from the shortest to the longest.
LENGTHS = ("slow", "training", "compiler", "pipeline")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let workers begin with the files that take long: then none is left alone with one of them."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    lengths: dict[Path, int] = {}
    for item in items:
        found = [LENGTHS.index(mark.name) for mark in item.iter_markers() if mark.name in LENGTHS]
        lengths[item.path] = max(lengths.get(item.path, -1), *found, -1)
    counts = Counter(item.path for item in items)
    order = {path: number for number, path in enumerate(counts)}
    items.sort(key=lambda item: (-lengths[item.path], -counts[item.path], order[item.path]))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the reference folder beside the repository; skip the test where it is absent."""
    path = ROOT.parent / "shared"
    if not path.is_dir():
        pytest.skip("the reference folder ../shared is not beside this checkout")
    return path


@pytest.fixture(scope="session")
def published(shared: Path) -> Path:
    """Return the folder of published networks and logits; skip the test where it is absent."""
    path = shared / "reference" / "published"
    if not path.is_dir():
        pytest.skip("the published networks ../shared/reference/published are not here")
    return path


@pytest.fixture(scope="session")
def published_network(published: Path) -> tuple[IntResMlp, Array, Array]:
    """Return the published ReLU-96 network, its samples' tokens [8, 64, 48] and logits [8, 10]."""
    arrays = np.load(published / "relu96_int8.npz", allow_pickle=False)

    def layers(prefix: str, *names: str) -> list[IntLayer]:
        return [
            IntLayer(*(arrays[f"{prefix}{name}_{key}"].astype(np.int32) for key in "wbs"))
            for name in names
        ]

    mixer, mlp = ("affine_1", "linear", "affine_2", "res_affine"), ("linear_1", "linear_2")
    blocks = tuple(
        IntBlock(
            IntTokenMixer(*layers(f"blocks_{i}_token_mixer_", *mixer)),
            IntChannelMlp(*layers(f"blocks_{i}_mlp_", *mlp, "res_affine")),
        )
        for i in range(4)
    )
    embed, classifier = layers("", "embed_linear", "classifier_linear")
    tokens, logits = (arrays[f"samples_{key}"].astype(np.int32) for key in ("input", "output"))
    return IntResMlp(embed, blocks, classifier), tokens, logits


@pytest.fixture
def clang(tmp_path: Path) -> str:
    """Return a compiler: the clang in the package ziglang, with g++ as its linker."""
    spec = find_spec("ziglang")
    if spec is None:
        pytest.skip("clang comes with the Python package ziglang, which is not installed")
    resources = Path(spec.submodule_search_locations[0]) / "lib"
    script = tmp_path / "clang++"
    compile_command = f'"{sys.executable}" -m ziglang clang --driver-mode=g++'
    compile_command += f' --target={os.uname().machine}-linux-gnu -resource-dir "{resources}"'
    script.write_text(
        f'#!/bin/sh\ncase " $* " in\n  *" -c "* | *" -E "*) exec {compile_command} "$@" ;;\n'
        '  *) exec g++ "$@" ;;\nesac\n'
    )
    script.chmod(0o755)
    return str(script)


@pytest.fixture
def sized_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let plans of equal designs share the simulation that sizes their FIFOs."""
    from tests.support.sizing import size_once  # here, because it imports numba

    monkeypatch.setattr("hls.plan.streaming.plan.size_fifos", size_once)


@pytest.fixture(scope="session")
def random_network() -> Callable[..., IntResMlp]:
    """Return a function that draws an integer network of any size from a seed.

    Shifts are around the size of the sums, so that a part of the values saturates.
    """
    return _random_network


def _random_network(
    seed: int = 0,
    patch_dim: int = 12,
    num_patches: int = 4,
    embed_dim: int = 6,
    hidden_dim: int = 10,
    num_blocks: int = 2,
    num_classes: int = 3,
    tables: bool = False,
    input_lut: bool = False,
) -> IntResMlp:
    rng = np.random.default_rng(seed)

    def int8(*shape: int) -> Array:
        return rng.integers(-128, 128, shape, dtype=np.int32)

    def layer(outputs: int, inputs: int | None = None) -> IntLayer:
        typical = 7 + int(np.log2(inputs or 1)) // 2
        shift = rng.integers(typical - 2, typical + 1, outputs, dtype=np.int32)
        return IntLayer(
            int8(outputs) if inputs is None else int8(outputs, inputs), int8(outputs) // 4, shift
        )

    def block() -> IntBlock:
        mixer = IntTokenMixer(
            layer(embed_dim), layer(num_patches, num_patches), layer(embed_dim), layer(embed_dim)
        )
        psa = [IntTable(int8(n, TABLE_KNOTS)) for n in (embed_dim, hidden_dim)] if tables else []
        linears = layer(hidden_dim, embed_dim), layer(embed_dim, hidden_dim), layer(embed_dim)
        return IntBlock(mixer, IntChannelMlp(*linears, *psa))

    return IntResMlp(
        layer(embed_dim, patch_dim),
        tuple(block() for _ in range(num_blocks)),
        layer(num_classes, embed_dim),
        int8(3, 256) if input_lut else None,
    )
