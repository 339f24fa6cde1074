"""params.yaml: the committed files parse, and everything else is refused in one clear sentence."""

import copy
import dataclasses
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.hydra import apply_overrides
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from models.files.errors import PipelineError
from stages.pipeline import params as params_module
from stages.pipeline.params import RESERVED_NAMES, Params, load_params
from stages.pipeline.strict_yaml import read_yaml
from stages.results.published import name_of
from tests.support.paths import ROOT

COMMITTED = [ROOT / "params.yaml", ROOT / "demo" / "params.yaml"]
DOCUMENT = read_yaml(COMMITTED[1])

Load = Callable[[object], Params]


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Return a function that writes a document, or its text or bytes, and loads it.

    A mapping is written and read section by section, and each section once, because the parser of
    YAML takes most of the time and a test changes one section.
    """
    path = tmp_path_factory.mktemp("params") / "params.yaml"
    sections: dict[str, dict[str, Any]] = {}  # by their text

    def read_section(name: str, rows: object) -> dict[str, Any]:
        text = yaml.dump({name: rows}, Dumper=yaml.CSafeDumper, sort_keys=False)
        if text not in sections:
            path.write_text(text, encoding="utf-8")
            sections[text] = read_yaml(path)
        return copy.deepcopy(sections[text])

    def write_and_load(document: object) -> Params:
        if not isinstance(document, dict):
            text = document if isinstance(document, str | bytes) else yaml.safe_dump(document)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
            return load_params(path)
        whole: dict[str, Any] = {}
        for name, rows in document.items():
            whole |= read_section(name, rows)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(params_module, "read_yaml", lambda path: whole)
            return load_params(path)

    return write_and_load


def edited(key: str, value: object) -> dict[str, Any]:
    """Return the demo document with the dotted `key` set to `value`."""
    document = copy.deepcopy(DOCUMENT)
    *above, last = key.split(".")
    rows = document
    for name in above:
        rows = rows.setdefault(name, {})
    rows[last] = value
    return document


def without(key: str) -> dict[str, Any]:
    """Return the demo document without the dotted `key`."""
    document = copy.deepcopy(DOCUMENT)
    *above, last = key.split(".")
    rows = document
    for name in above:
        rows = rows[name]
    del rows[last]
    return document


def refusal(load: Load, document: object) -> str:
    """Return the message that refuses `document`, checked to be one line that names the file."""
    with pytest.raises(PipelineError) as caught:
        load(document)
    message = str(caught.value)
    assert "params.yaml" in message
    assert message.endswith(".")
    assert "\n" not in message
    return message


def leaves(rows: dict[str, Any], prefix: str = "") -> list[str]:
    """Return the dotted keys of all values that are no mappings."""
    found = []
    for name, value in rows.items():
        key = f"{prefix}{name}"
        found += leaves(value, f"{key}.") if isinstance(value, dict) else [key]
    return found


def sections(rows: dict[str, Any], prefix: str = "") -> list[str]:
    """Return the dotted keys of all mappings, empty ones included."""
    found = []
    for name, value in rows.items():
        if isinstance(value, dict):
            found += [f"{prefix}{name}", *sections(value, f"{prefix}{name}.")]
    return found


LISTS = ["weights.train", "weights.published", "gates.designs"]
# What stands under `designs` has forms of its own: test_designs.py
LEAVES = [key for key in leaves(DOCUMENT) if key not in LISTS and not key.startswith("designs.")]
SECTIONS = [key for key in sections(DOCUMENT) if not key.startswith("designs.")]
OPTIONAL = [key for key in LEAVES if key.startswith("activations.")]  # they have defaults
STUDENTS = [f"variants.{name}" for name in DOCUMENT["variants"]]
REQUIRED = [key for key in LEAVES + LISTS + SECTIONS if key not in (*OPTIONAL, *STUDENTS)]
REQUIRED = [key for key in REQUIRED if not re.match(r"activations\.|rtl\.designs\.\w+$", key)]


@pytest.mark.parametrize("path", COMMITTED, ids=["cifar10", "demo"])
def test_committed_file_parses(path: Path) -> None:
    """Both committed files are valid."""
    assert load_params(path).variants


def test_cifar10_has_the_twelve_published_students() -> None:
    """Names and networks agree.

    Beside them there may be the same students again, trained otherwise.
    """
    params = load_params(COMMITTED[0])
    published = [
        f"{activation}_h{hidden}"
        for activation in ("relu", "bspline", "lerp_psa")
        for hidden in (192, 96, 48, 24)
    ]
    assert list(params.variants)[: len(published)] == published
    for number, (name, variant) in enumerate(params.variants.items()):
        assert variant.name == name
        known = name_of(variant.network)
        assert known == name if number < len(published) else known in published


def test_demo_describes_the_same_pipeline() -> None:
    """The demo holds the same sections and keys; only values and students differ."""
    cifar10 = read_yaml(COMMITTED[0])
    assert list(DOCUMENT) == list(cifar10)
    for name in set(DOCUMENT) - {"variants", "designs", "data", "code_root", "seed", "rtl"}:
        assert leaves(DOCUMENT[name]) == leaves(cifar10[name])
    assert list(DOCUMENT["rtl"]) == list(cifar10["rtl"])


def test_every_number_reaches_its_field(load: Load) -> None:
    """No field is read from another key: each leaf comes back at its own dotted place."""
    params = load(DOCUMENT)
    rows = ("variants", "activations", "rtl.designs")
    for key in (key for key in LEAVES + LISTS if not key.startswith(rows)):
        found: Any = params
        expected: Any = DOCUMENT
        for name in key.split("."):
            found, expected = getattr(found, name), expected[name]
        assert (list(found) if isinstance(found, tuple) else found) == expected, key


def test_whole_number_is_taken_for_a_float(load: Load) -> None:
    """`5` is a good clock period, and becomes a float."""
    assert type(load(edited("hls.clock_ns", 5)).hls.clock_ns) is float


def test_params_are_frozen(load: Load) -> None:
    """Nothing can be changed after the check."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        load(DOCUMENT).distill.epochs = 1  # type: ignore[misc]


def test_parser_needs_no_torch() -> None:
    """Numpy-only stages can read params.yaml."""
    code = "import sys, stages.pipeline.params; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@pytest.mark.parametrize("key", REQUIRED)
def test_missing_key(load: Load, key: str) -> None:
    """Every key is required, but for activations and their options, and each single student."""
    assert f"{key} is missing; it must be " in refusal(load, without(key))


@pytest.mark.parametrize("key", OPTIONAL)
def test_activation_option_may_be_absent(load: Load, key: str) -> None:
    """An option left out is left to the activation's default."""
    _, activation, option = key.split(".")
    options = load(without(key)).variant(f"{activation}_h96").network.options
    assert [*options] == [name for name in DOCUMENT["activations"][activation] if name != option]


def test_a_variant_may_change_single_options(load: Load) -> None:
    """The others stay those of its activation, and so do those of other variants."""
    document = edited("variants.bspline_h48", {"activation": "bspline", "hidden_dim": 48, "tv2": 0})
    params = load(document)
    assert params.variant("bspline_h48").network.options == {
        **{"grid_size": 65, "grid_range": 4.0, "tv2": 0.0}
    }
    assert type(params.variant("bspline_h48").network.options["grid_size"]) is int
    assert params.variant("bspline_h96").network.options["tv2"] == 1e-5


def test_a_variant_needs_a_row_of_its_activation(load: Load) -> None:
    """So that DVC, too, sees the options of every network."""
    message = refusal(load, without("activations.bspline"))
    assert "variants.bspline_h96.activation is 'bspline', but must be one of the rows" in message


def test_a_row_says_where_the_weights_come_from(load: Load) -> None:
    """They are distilled here, or the authors'."""
    params = load(edited("variants.relu_h96.weights", "published"))
    assert params.variant("relu_h96").weights == "published"
    assert params.variant("bspline_h96").weights == "distill"
    message = refusal(load, edited("variants.relu_h96.weights", "publish"))
    assert ".weights is 'publish' (did you mean published?), but must be one of: " in message


@pytest.mark.parametrize(
    "section", ["", *(f"{section}." for section in SECTIONS if section != "rtl.designs")]
)
def test_unknown_key(load: Load, section: str) -> None:
    """An unknown key is refused at every level."""
    message = refusal(load, edited(f"{section}qqqq", 1))
    if section in ("variants.", "designs.", "recipes."):  # there it is a name
        assert f"{section}qqqq" in message
    else:
        assert f": {section}qqqq is not a known key; allowed: " in message


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("distill.epoch", "epochs"),
        ("trainning", "training"),
        ("variants.relu_h96.distil", "distill"),
        ("variants.relu_h96.distill.temprature", "temperature"),
        ("variants.bspline_h96.gridsize", "grid_size"),
        ("variants.bspline_h96.hiddendim", "hidden_dim"),
        ("activations.bspline.gridsize", "grid_size"),
        ("activations.lerppsa", "lerp_psa"),
    ],
)
def test_unknown_key_names_the_near_one(load: Load, key: str, meant: str) -> None:
    """A slip of the pen is answered with the key that was meant."""
    message = refusal(load, edited(key, {}))
    assert f"{key} is not a known key (did you mean {meant}?)" in message


def test_option_of_another_activation_is_unknown(load: Load) -> None:
    """ReLU has no grid."""
    message = refusal(load, edited("variants.relu_h96.grid_size", 65))
    assert "variants.relu_h96.grid_size is not a known key" in message


WRONG_TYPES: dict[type, list[object]] = {
    bool: [None, 1, 0.0, "true"],
    int: [None, True, 1.5, 1.0, "one"],
    float: [None, True, "fast", math.nan, math.inf, -math.inf],
    str: [None, 3, True, "", " ", "two\nlines"],
    list: [None, True, 64, [64, 256], [64, 256, 256, 256], ["a", "b", "c"], [64, 256, 1.5]],
    type(None): [True, 3, [1.0, 2.0], ["a", "b", "c"], [0.5, 0.5, math.nan]],
}
NULLABLE = {"hls.clock_uncertainty": float, "distill.seed": int}  # a number or null
NULLABLE |= {f"{s}.muon_learning_rate": float for s in ("teacher", "transfer", "distill")}


@pytest.mark.parametrize("key", LEAVES)
def test_wrong_type(load: Load, key: str) -> None:
    """A value of another type is refused; true is no number and 1.0 no whole number."""
    value: Any = DOCUMENT
    for name in key.split("."):
        value = value[name]
    listed = WRONG_TYPES[type(value)]
    if key in NULLABLE:
        listed = [wrong for wrong in WRONG_TYPES[NULLABLE[key]] if wrong is not None]
    for wrong in [*listed, {}, {"a": 1}, [], [[]]]:
        message = refusal(load, edited(key, wrong))
        assert f": {key} is " in message
        assert ", but must be " in message


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("wrong", [None, 3, "text", [], [1]])
def test_section_must_be_a_mapping(load: Load, section: str, wrong: object) -> None:
    """Null included: `distill:` with nothing below is a mistake."""
    assert f": {section} is " in refusal(load, edited(section, wrong))


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("seed", -1, "a whole number >= 0"),
        ("data.source", "mnist", "one of: cifar10, folder, digits"),
        ("data.validation_images", 0, "a whole number >= 1"),
        ("network.patch_size", 5, "divides 32"),
        ("network.patch_size", 32, "divides 32"),
        ("network.patch_size", 0, "divides 32"),
        ("network.patch_size", -4, "divides 32"),
        ("network.embed_dim", 0, "a whole number >= 1"),
        ("network.num_blocks", 0, "a whole number >= 1"),
        ("training.batch_size", 0, "a whole number >= 1"),
        ("training.augment.crop_padding", -1, "from 0 to 16"),
        ("training.augment.crop_padding", 17, "from 0 to 16"),
        ("convnet.widths", [64, 0, 256], "a list of 3 values, each a whole number >= 1"),
        ("convnet.epochs", 0, "a whole number >= 1"),
        ("convnet.batch_size", 0, "a whole number >= 1"),
        ("convnet.norm_learning_rate", 0.0, "a number > 0"),
        ("convnet.momentum", 0.0, "a number > 0 and < 1"),
        ("convnet.momentum", 1.0, "a number > 0 and < 1"),
        ("convnet.weight_decay", -0.1, "a number >= 0"),
        ("convnet.label_smoothing", 1.5, "a number from 0 to 1"),
        ("convnet.augment.crop_padding", 17, "from 0 to 16"),
        ("views.count", 0, "a whole number >= 1"),
        ("teacher.hidden_dim", 0, "a whole number >= 1"),
        ("teacher.epochs", 0, "a whole number >= 1"),
        ("teacher.learning_rate", 0.0, "a number > 0"),
        ("teacher.learning_rate_min", -1e-5, "a number >= 0"),
        ("teacher.weight_decay", -0.1, "a number >= 0"),
        ("teacher.muon_learning_rate", 0.0, "a number > 0 and <= 1000, or null"),
        ("teacher.temperature", 0.0, "a number >= 0.001"),
        ("teacher.alpha", 1.01, "a number from 0 to 1"),
        ("transfer.epochs_per_block", -1, "a whole number >= 0"),
        ("distill.epochs", 0, "a whole number >= 1"),
        ("distill.spline_learning_rate", 0, "a number > 0"),
        ("distill.temperature", 0.0, "a number >= 0.001"),
        ("distill.seed", -1, "a whole number >= 0 and <= 4294967295, or null"),
        ("distill.alpha", 1.01, "a number from 0 to 1"),
        ("distill.alpha", -0.01, "a number from 0 to 1"),
        ("quantize.epochs", -1, "a whole number >= 0"),
        ("quantize.scale_learning_rate", 0.0, "a number > 0"),
        ("quantize.calibration_images", 0, "a whole number >= 1"),
        ("csim.samples", 0, "a whole number >= 1"),
        ("csim.images", -1, "a whole number >= 0"),
        ("hls.clock_ns", 0.0, "a number >= 0.1 and <= 1000 (ns)"),
        ("hls.flow_target", "verilog", "one of: vitis, vivado"),
        ("hls.part", "xcu50} ; exit", "a part name"),
        ("hls.clock_uncertainty", 100.0, "a number from 0 to 99 (percent), or null"),
        ("hls.tool", "vitis", "one of: auto, vitis-run, vitis_hls, vivado_hls"),
        ("hls.export", "ip", "one of: none, syn, impl"),
        ("hls.timeout_minutes", 0, "a whole number >= 1"),
        ("variants.relu_h96.activation", "tanh", "rows of `activations`: relu, bspline, lerp_psa"),
        ("variants.relu_h96.hidden_dim", 0, "a whole number >= 1"),
        ("activations.bspline.grid_size", 64, "an odd whole number >= 3"),
        ("variants.lerp_psa_h96.epsilon", 0.0, "a number > 0"),
        ("variants.relu_h96.distill", {"alpha": 2.0}, "a number from 0 to 1"),
        ("seed", 2**32, "a whole number >= 0 and <= 4294967295"),
        ("data.validation_images", 10**9, "<= 10000000"),
        ("network.embed_dim", 10**6, "<= 16384"),
        ("network.num_blocks", 10**6, "<= 100"),
        ("training.batch_size", 10**6, "<= 16384"),
        ("convnet.widths", [64, 10**6, 256], "<= 16384"),
        ("views.count", 10**6, "<= 1000"),
        ("teacher.learning_rate", 9e18, "a number > 0 and <= 1000"),
        ("distill.epochs", 10**9, "<= 100000"),
        ("distill.temperature", 1e-300, "a number >= 0.001 and <= 1000"),
        ("csim.samples", 10**6, "<= 1000"),
        ("csim.images", 10**9, "<= 10000000"),
        ("hls.clock_ns", 1e-300, "a number >= 0.1 and <= 1000 (ns)"),
        ("hls.timeout_minutes", 10**9, "<= 50000"),
        ("hls.part", "x" * 65, "at most 64 letters"),
        ("variants.relu_h96.hidden_dim", 10**9, "<= 16384"),
        ("activations.bspline.grid_size", 9999999, "<= 4096"),
        ("activations.lerp_psa.expansion", 10**9, "<= 4096"),
        ("activations.lerp_psa.grid_range", 1e300, "<= 1000"),
        ("published.drive_id", "https://example.org/x", "the id of a Google Drive file"),
        ("published.drive_id", "../../../../etc", "letters, digits, - and _"),
        ("published.sha256", "A" * 64, "64 hexadecimal digits"),
        ("published.sha256", "a" * 63, "64 hexadecimal digits"),
    ],
)
def test_impossible_value(load: Load, key: str, value: object, allowed: str) -> None:
    """A value out of its range is told with its key, itself and the range."""
    message = refusal(load, edited(key, value))
    if isinstance(value, dict):
        [(last, value)] = value.items()
        key = f"{key}.{last}"
    shown, found, words = message.partition(", but must be ")
    assert found and f": {key} is {value!r}" in shown
    assert allowed in words


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 0),
        ("network.patch_size", 1),
        ("network.patch_size", 16),
        ("training.augment.crop_padding", 0),
        ("training.augment.crop_padding", 16),
        ("teacher.learning_rate_min", 0),
        ("transfer.epochs_per_block", 0),
        ("distill.learning_rate_min", DOCUMENT["distill"]["learning_rate"]),
        ("distill.seed", 0),
        ("distill.muon_learning_rate", None),
        ("distill.alpha", 0),
        ("distill.alpha", 1),
        ("quantize.epochs", 0),
        ("csim.images", 0),
        ("data.source", "folder"),
        ("data.path", "../images.zip"),
        ("published.sha256", "0123456789abcdef" * 4),
        ("published.path", "../checkpoints.zip"),
    ],
)
def test_value_at_the_edge_is_accepted(load: Load, key: str, value: object) -> None:
    """The ends of the ranges are within; a folder's path may come from the environment."""
    found: Any = load(edited(key, value))
    for name in key.split("."):
        found = getattr(found, name)
    assert found == value


SCALARS = """1e-3 1e-06 1E3 1.0e3 1.0e-3 .5 +.5 -.5 .5e+3 1. 1.e3 12e03 y n tRUE nULL . .. +
    true True TRUE false null Null ~ .inf -.inf +.INF .nan .NaN nan Infinity +1 -0 0 1e400 1e 1e+
    e3 0x 0b 0b2 0o 0o8 1-2 cifar10 1Z2Bja_5nlB2 4.0 2.5e+02 '0.001' "3" '017' "no" "1:30"
    '1_000'"""
UNCLEAR = """017 010 -010 08 00 0o10 0x1F +0x1f 0b11 1_000 _1 +_1 1__0 0_ 1_.5 1._5 ._5 1_e3 .5e3
    1:30 1:30.5 -1:30 yes no on off Yes NO On 2023-01-02 2023-02-31 2001-12-14t21:59:43.10-05:00"""


@pytest.mark.parametrize("scalar", SCALARS.split())
def test_a_scalar_is_what_dvc_reads(scalar: str, tmp_path: Path) -> None:
    """`dvc params diff` and the stages see the same value: DVC reads with ruamel.yaml."""
    path = tmp_path / "params.yaml"
    path.write_text(f"key: {scalar}\nlist:\n- {scalar}\n")
    theirs = YAML(typ="safe").load(path)
    assert repr(read_yaml(path)) == repr(theirs)


@pytest.mark.parametrize("scalar", UNCLEAR.split())
def test_a_scalar_that_programs_read_differently_is_refused(scalar: str, tmp_path: Path) -> None:
    """By YAML 1.1, 017 is 15 and 1:30 is 90; DVC takes 017 for 17 and 1:30 for a text."""
    path = tmp_path / "params.yaml"
    for text in (f"key: {scalar}\n", f"- {scalar}\n", f"{scalar}: 1\n", f"{{a: {scalar}}}"):
        path.write_text(text)
        with pytest.raises(PipelineError, match=r"line 1, .* not all programs read .* in quotes"):
            read_yaml(path)


OVERRIDES = {
    "activations.bspline.tv2=1.0e-6": 1e-6,
    "+variants.bspline_h96.tv2=1.0e-6": 1e-6,
    "distill.learning_rate=0.00001": 1e-5,
    "hls.clock_ns=4": 4.0,
    "data.mean=null": None,
}


@pytest.mark.parametrize("override", OVERRIDES)
def test_what_dvc_exp_run_sets_is_what_the_stages_read(override: str, tmp_path: Path) -> None:
    """DVC's own writer turns 1.0e-6 into `1e-06`, which YAML 1.1 takes for a text."""
    path = tmp_path / "params.yaml"
    path.write_bytes(COMMITTED[1].read_bytes())
    apply_overrides(path, [override])
    assert repr(read_yaml(path)) == repr(YAML(typ="safe").load(path))
    found: Any = load_params(path)
    if "bspline" in override:
        found = found.variant("bspline_h96").network.options["tv2"]
    else:
        for name in override.partition("=")[0].split("."):
            found = getattr(found, name)
    assert repr(found) == repr(OVERRIDES[override])


@pytest.mark.parametrize("path", COMMITTED, ids=["cifar10", "demo"])
def test_a_committed_file_is_what_dvc_reads(path: Path) -> None:
    assert repr(read_yaml(path)) == repr(YAML(typ="safe").load(path))


def test_a_number_in_quotes_is_a_text(load: Load) -> None:
    """The quotes are shown."""
    message = refusal(load, edited("distill.alpha", "0.5"))
    assert "distill.alpha is '0.5', but must be a number from 0 to 1" in message


@pytest.mark.parametrize("section", ["teacher", "transfer", "distill", "quantize"])
def test_learning_rate_never_grows(load: Load, section: str) -> None:
    """learning_rate_min <= learning_rate in every schedule."""
    document = edited(f"{section}.learning_rate_min", 0.5)
    assert f": {section}.learning_rate_min is 0.5, but must be at most" in refusal(load, document)


def test_learning_rate_never_grows_after_the_merge(load: Load) -> None:
    """A variant's rate is compared with the general section's end of the cosine."""
    message = refusal(load, edited("variants.relu_h96.distill", {"learning_rate": 1e-9}))
    assert ": variants.relu_h96.distill.learning_rate_min is " in message


@pytest.mark.parametrize(("given_key", "absent"), [("mean", "std"), ("std", "mean")])
def test_mean_and_std_come_together(load: Load, given_key: str, absent: str) -> None:
    """One without the other is refused; both, or neither, are fine."""
    message = refusal(load, edited(f"data.{given_key}", [0.5, 0.5, 0.5]))
    assert f": data.{absent} is null" in message
    document = edited("data.mean", [0, 0.5, 1])
    document["data"]["std"] = [0.25, 0.25, 1]
    assert load(document).data.mean == (0.0, 0.5, 1.0)


@pytest.mark.parametrize("std", [[0.0, 0.2, 0.2], [0.2, 0.2, -0.2], [63.0, 62.1, 66.7]])
def test_std_is_of_pixel_over_255(load: Load, std: list[float]) -> None:
    """Zero and the 0..255 scale are refused."""
    document = edited("data.mean", [0.5, 0.5, 0.5])
    document["data"]["std"] = std
    assert ": data.std is " in refusal(load, document)


@pytest.mark.parametrize(
    "name",
    [
        *RESERVED_NAMES,
        "Relu",
        "1relu",
        "relu-96",
        "a/b",
        "",
        "a\nb",
        "a" * 65,
        "a" * 80_000,
        7,
        None,
    ],
)
def test_variant_name(load: Load, name: object) -> None:
    """A name must do as a folder beside data/teacher and as part of a stage name."""
    document = copy.deepcopy(DOCUMENT)
    document["variants"][name] = dict(document["variants"]["relu_h96"])
    message = refusal(load, document)
    assert "is not a usable name" in message and len(message) < 400


def test_a_name_of_64_letters_is_usable(load: Load) -> None:
    row = dict(DOCUMENT["variants"]["relu_h96"])
    assert load(edited(f"variants.{'a' * 64}", row)).variant("a" * 64).weights == "distill"


@pytest.mark.parametrize("row", ["", "variants.relu_h96."])
def test_more_calibration_images_than_there_are_are_refused(load: Load, row: str) -> None:
    """They are validation images; fewer would be used without a word."""
    most = DOCUMENT["data"]["validation_images"]
    key = f"{row}quantize.calibration_images"
    message = refusal(load, edited(key, most + 1))
    assert f": {key} is {most + 1}, but must be at most data.validation_images" in message
    assert load(edited(key, most)).variants


def test_no_variants(load: Load) -> None:
    """A pipeline without a student is a mistake."""
    assert "variants is empty" in refusal(load, edited("variants", {}))


@pytest.mark.parametrize("key", ["weights.train", "weights.published"])
@pytest.mark.parametrize(
    "wrong", [None, 3, "teacher", {"teacher": 1}, [1], [[]], ["teacher"] * 2, ["relu_h96"]]
)
def test_lists_of_the_teacher(load: Load, key: str, wrong: object) -> None:
    """A list with the teacher, or an empty one."""
    assert f": {key} is " in (message := refusal(load, edited(key, wrong)))
    assert "must be [teacher] or []" in message


@pytest.mark.parametrize(
    ("train", "published", "expected"),
    [
        ([], [], "weights.train and weights.published: neither of them holds the teacher"),
        (["teacher"], ["teacher"], "weights.train and weights.published: both of them hold"),
    ],
)
def test_the_teacher_stands_in_one_list(
    load: Load, train: list[str], published: list[str], expected: str
) -> None:
    """Its float weights come from one place, and DVC makes a stage for each name it finds."""
    document = edited("weights", {"train": train, "published": published})
    assert expected in refusal(load, document)


def test_the_teacher_may_be_the_authors(load: Load) -> None:
    """Then no teacher is trained here."""
    document = edited("weights", {"train": [], "published": ["teacher"]})
    assert load(document).weights.published == ["teacher"]


def test_overrides_are_merged(load: Load) -> None:
    """A variant's partial section replaces its keys and keeps the others."""
    params = load(edited("variants.relu_h96.distill", {"epochs": 777, "temperature": 2}))
    variant = params.variant("relu_h96")
    assert variant.distill == dataclasses.replace(params.distill, epochs=777, temperature=2.0)
    assert (variant.transfer, variant.quantize) == (params.transfer, params.quantize)
    assert params.distill == load(DOCUMENT).distill


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("variants.relu_h96.hidden_dim", 95),
        ("variants.relu_h96.transfer", {"epochs_per_block": 777}),
        ("variants.relu_h96.quantize", {"epochs": 777}),
    ],
)
def test_editing_one_variant_leaves_the_others_equal(load: Load, key: str, value: object) -> None:
    """So that one edit re-runs one student."""
    before, after = load(DOCUMENT), load(edited(key, value))
    changed = {name for name in before.variants if before.variants[name] != after.variants[name]}
    assert changed == {"relu_h96"}
    assert dataclasses.replace(after, variants=before.variants) == before


def test_a_student_may_have_a_seed_of_its_own(load: Load) -> None:
    """The others, and what is no student, keep that of the pipeline."""
    params = load(edited("variants.relu_h96.distill", {"seed": 7}))
    assert params.training_seed("relu_h96") == 7
    others = ("bspline_h96", "teacher", "convnet")
    assert {params.training_seed(name) for name in others} == {params.seed}
    everywhere = load(edited("distill.seed", 8))
    assert everywhere.training_seed("relu_h96") == 8 != everywhere.training_seed("teacher")


def test_unknown_variant_lists_the_known(load: Load) -> None:
    """A wrong name on a stage's command line is answered with the right ones."""
    with pytest.raises(PipelineError, match=r"did you mean relu_h96\?.*bspline_h96, lerp_psa_h96"):
        load(DOCUMENT).variant("relu_96")


TEXT = COMMITTED[1].read_text(encoding="utf-8")
LAUGHS = "a: &a0 [x, x]\n" + "".join(
    f"b{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
MERGES = "a: &a0 {x: 1}\n" + "".join(
    f"b{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}], k{n}: 1}}\n" for n in range(1, 12)
)
BOMBS = {
    "aliases": (LAUGHS, "more than 10000 values, aliases written out"),
    "merges": (MERGES, "more than 10000 values, aliases written out"),
    "an alias of itself": ("a: &a [*a]\n", "more than 10000 values"),
    "a comment of 10 MB": (TEXT + "#" * 10_000_000, "more than 131072 bytes"),
    "100,000 keys": ("".join(f"k{n}: 1\n" for n in range(100_000)), "more than 131072 bytes"),
    "60,000 items": ("a: [" + "1," * 60_000 + "]", "more than 10000 values"),
    "laughs in a number": (
        LAUGHS.replace("a:", "views:\n  count:") + "\n" + TEXT.replace("views:", "v:"),
        "more than 10000 values",
    ),
    "a long name": (TEXT.replace("  relu_h96: {", f"  {'a' * 1000}: {{"), "not a usable name"),
    "a long key": (f"{'a' * 80_000}: 1\n", "not allowed here"),
    "a known key, much longer": (f"{'seed' * 250}: 1\n", "is not a known key"),
    "a long text": (TEXT.replace("compiler: g++", f"compiler: {'g' * 80_000}"), "1000 characters"),
    "many digits": (TEXT.replace("seed: 2023", f"seed: {'9' * 80_000}"), "is not a value"),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_ends_in_one_sentence_at_once(load: Load, bomb: str) -> None:
    text, words = BOMBS[bomb]
    start = time.process_time()
    message = refusal(load, text)
    assert time.process_time() - start < 2
    assert words in message and len(message) < 1000


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("", "is empty"),
        ("# only a comment\n", "is empty"),
        ("- 1\n", "the whole file is [1], but must be a mapping"),
        ("just text\n", "the whole file is 'just text', but must be a mapping"),
        ("seed: 1\n\tdata: 2\n", "line 2, column 1: found character '\\t'"),
        ("seed: 1\n  data: 2\n", "line 2, column 7: mapping values are not allowed here"),
        ("seed: [1\n", "line 2, column 1: "),
        ("seed: 1\n---\nseed: 2\n", "line 2, column 1: "),
        ("seed: 1\nseed: 2\n", "line 2, column 1: the key 'seed' is there twice"),
        ("a: {b: {c: 1, c: 1}}\n", "line 1, column 15: the key 'c' is there twice"),
        ("? [1]\n: 2\n", "line 1, column 3: found unhashable key"),
        ("seed: !!python/object:os.system x\n", "line 1, column 7: the tag "),
        ("seed: 2023-02-31\n", "line 1, column 7: not all programs read '2023-02-31'"),
        ("seed: !!bool maybe\n", "line 1, column 7: the tag "),
        ("seed: 1" + "0" * 400 + "\n", "line 1, column 7: a whole number that does not fit"),
        ("seed: 1" + "0" * 5000 + "\n", "line 1, column 7: "),
        ("[" * 5000, "nested too deeply"),
        ("%YAML 1.1\n---\nseed: 1\n", "line 1: '%' is not allowed here, as a directive"),
        ("seed: 1\u2028data: 2\n", "line 1: '\\u2028' is not allowed here"),
        ("seed: 1\n\ufeffdata: 2\n", "line 2: '\\ufeff' is not allowed here"),
        ("seed: ! 5\n", "line 1, column 7: the tag '!'"),
        (b"seed: 1\n# \xe9\n", "line 2: not UTF-8 text"),
        (b"seed: 1\n# \x07\n", "line 2: '\\x07' is not allowed here"),
        (TEXT.replace("  alpha:", "  epochs: 3\n  alpha:"), "the key 'epochs' is there twice"),
    ],
)
def test_file_that_is_no_parameter_file(load: Load, document: str, expected: str) -> None:
    """Every way to spoil the file itself is told with the line."""
    assert expected in refusal(load, document)


def test_missing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says where it looked and where stages run."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PipelineError) as caught:
        load_params()
    assert str(tmp_path / "params.yaml") in str(caught.value)
    assert "stages run from the pipeline directory" in str(caught.value)


def test_folder_in_place_of_the_file(tmp_path: Path) -> None:
    """What cannot be read is a user's error, too."""
    with pytest.raises(PipelineError, match="cannot be read: "):
        load_params(tmp_path)


def test_pipe_in_place_of_the_file(tmp_path: Path) -> None:
    """Nobody waits for what nobody writes."""
    os.mkfifo(tmp_path / "params.yaml")
    with pytest.raises(PipelineError, match="is not a regular file"):
        load_params(tmp_path / "params.yaml")


def test_byte_order_mark_and_windows_line_ends(load: Load) -> None:
    """A file saved by a Windows editor is the same file."""
    spoilt = b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode()
    assert load(spoilt) == load(TEXT)


ANY_VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["1e-3", "relu", "digits", "vitis", 0, 1, 4, 0.5, 10**400])
    | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=4) | st.integers() | st.none(), inner, max_size=3)
    ),
    max_leaves=6,
)
QUICK = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def parses_or_refuses(load: Load, document: object) -> None:
    """Any exception but PipelineError, and any message of two lines, fails the test."""
    try:
        params = load(document)
    except PipelineError as error:
        assert "params.yaml" in str(error)
        assert "\n" not in str(error)
    else:
        assert all(variant.distill.epochs >= 1 for variant in params.variants.values())


@QUICK
@given(key=st.sampled_from(LEAVES + SECTIONS), value=ANY_VALUE)
def test_any_value_anywhere(load: Load, key: str, value: object) -> None:
    """Whatever stands under a key parses or is refused."""
    parses_or_refuses(load, edited(key, value))


@QUICK
@given(section=st.sampled_from(SECTIONS), key=st.text(max_size=6), value=ANY_VALUE)
def test_any_key_anywhere(load: Load, section: str, key: str, value: object) -> None:
    """Whatever key is added parses (a variant, an override) or is refused."""
    document = copy.deepcopy(DOCUMENT)
    rows = document
    for name in section.split("."):
        rows = rows[name]
    rows[key] = value
    parses_or_refuses(load, document)


@QUICK
@given(
    at=st.integers(0, len(TEXT)),
    cut=st.integers(0, 12),
    put=st.text(
        alphabet=st.sampled_from(list(" \t\n\r:-#?&*!|>%@`'\"{}[],<=~.0e\x00\ufeffé")), max_size=6
    ),
)
def test_any_slip_in_the_text(load: Load, at: int, cut: int, put: str) -> None:
    """Whatever an editor may do to the text parses or is refused."""
    parses_or_refuses(load, TEXT[:at] + put + TEXT[at + cut :])
