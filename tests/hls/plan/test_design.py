"""design.json is read back, and what no design can have is refused by key: it becomes C++."""

import json
import re

import pytest

from hls.cpp.accelerators import SIMD, STREAMING
from hls.headers.design import design_text
from hls.plan.design import Design, read_design
from hls.plan.sizes import Sizes
from hls.plan.streaming.folding import published_folding
from models.files.errors import PipelineError

DEPTHS = {"token_mixer_shortcut": 99, "mlp_shortcut": 40, "link": 4}


@pytest.fixture(params=[STREAMING, SIMD])
def design(request, random_network):
    sizes = Sizes.of(random_network())
    if request.param == SIMD:
        return Design("relu_h96", SIMD, sizes, array=(4, 8))
    return Design("relu_h96", STREAMING, sizes, published_folding(sizes), DEPTHS)


def leaves(value, path=()):
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        if isinstance(item, dict | list):
            yield from leaves(item, (*path, key))
        elif item is not None:
            yield (*path, key)


def values_of(design):
    """Return the content of design.json without its digest, which would be wrong after a change."""
    content = json.loads(design.to_text())
    del content["sha256"]
    return content


def written(tmp_path, design, path, value):
    content = values_of(design)
    at = content
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    file = tmp_path / "design.json"
    file.write_text(json.dumps(content))
    return file


def test_a_design_is_read_back(design, tmp_path):
    (tmp_path / "design.json").write_text(design.to_text())
    read = read_design(tmp_path / "design.json", design.sizes)
    assert read == design
    assert design_text(read) == design_text(design)


@pytest.mark.parametrize(
    "value", ["1; int x = system(0)", "8", 1.5, -1, 2**31, 10**30, [1], {}, None, float("nan")]
)
def test_a_value_that_no_design_has_is_refused_at_every_key(design, tmp_path, value):
    for path in leaves(values_of(design)):
        if value is None and path == ("variant",):
            continue
        if path == ("variant",) and value == "8":
            continue
        file = written(tmp_path, design, path, value)
        with pytest.raises(
            PipelineError, match=r"design\.json is not a plan of a design"
        ) as refused:
            read_design(file)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("accelerator",), "other", "accelerator is 'other'"),
        (("sizes", "embed_dim"), True, "sizes.embed_dim is True"),
        (("sizes", "has_tables"), 1, "sizes.has_tables is 1"),
        (("variant",), "a b", "variant is 'a b'"),
    ],
)
def test_the_key_is_named(design, tmp_path, path, value, words):
    with pytest.raises(PipelineError, match=re.escape(words)):
        read_design(written(tmp_path, design, path, value))


@pytest.mark.parametrize("text", ["", "[", "[]", "{}", "7", "[" * 100_000, " " * (2 << 20)])
def test_another_file_is_refused(tmp_path, text):
    (tmp_path / "design.json").write_text(text)
    with pytest.raises(PipelineError, match=r"design\.json is not a plan of a design"):
        read_design(tmp_path / "design.json")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(PipelineError, match="cannot be read"):
        read_design(tmp_path)
