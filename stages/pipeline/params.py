"""params.yaml, read strictly into frozen dataclasses: the schema of every number of the pipeline.

A field carries its rule in its type (`Annotated[int, Option(...)]`), so a new number is one line
here and one in params.yaml. `stages/pipeline/rules.py` holds the mechanism. Torch is not imported.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from models.files.errors import PipelineError
from models.float.activations.registry import REGISTRY, Option, activation_spec
from stages.pipeline.designs import Design, designs_of
from stages.pipeline.rules import (
    AnyMapping,
    Leaf,
    Nullable,
    Triple,
    checked_values,
    did_you_mean,
    merge,
    printable,
    rules_of,
)
from stages.pipeline.strict_yaml import read_yaml

IMAGE_SIZE = 32  # pixels a side: every source is brought to this
RESERVED_NAMES = (
    "teacher",
    "convnet",
    "metrics",
    "history",
    "plots",
    "published",
    "designs",
)  # under data/
OVERRIDES = ("transfer", "distill", "quantize")  # what a variant may change in part

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def _one_of(*choices: str) -> Option:
    return Option(str, "one of: " + ", ".join(choices), lambda value: value in choices)


@dataclass(frozen=True)
class _Names:
    """The rule of a list of names, each there once."""

    allowed: str = "a list of different names ([] for none)"

    def check(self, key: str, value: object) -> list[str]:
        """Return the list."""
        names = value if isinstance(value, list) else [None]
        if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
            raise PipelineError(f"{key} must be {self.allowed}.")
        return [str(name) for name in names]


_POSITIVE = Option(float, "a number > 0", lambda value: 0 < value < float("inf"))
_PERCENT = Option(float, "a number from 0 to 99 (percent)", lambda value: 0 <= value <= 99)
_FRACTION = Option(float, "a number from 0 to 1", lambda value: 0 <= value <= 1)
# Nesterov momentum of 0 is none, and of 1 never slows down.
_MOMENTUM = Option(float, "a number > 0 and < 1", lambda value: 0 < value < 1)
# A single patch of 32 pixels would leave no tokens to mix or to average.
_PATCH_SIZE = Option(
    int,
    f"a whole number from 1 to {IMAGE_SIZE // 2} that divides {IMAGE_SIZE}",
    lambda value: 1 <= value < IMAGE_SIZE and IMAGE_SIZE % value == 0,
)
# It becomes part of a Tcl script and of a config file.
_PART = Option(
    str,
    "a part name of letters, digits, . _ and -",
    lambda value: re.fullmatch(r"[A-Za-z0-9._-]+", value) is not None,
)
_TEXT = Option(
    str, "a text of one line, not empty", lambda value: value.isprintable() and value.strip() != ""
)

_COUNT = Option(int, "a whole number >= 1", lambda value: value >= 1)
Count = Annotated[int, _COUNT]
_COUNT_OR_ZERO = Option(int, "a whole number >= 0", lambda value: value >= 0)
CountOrZero = Annotated[int, _COUNT_OR_ZERO]
Flag = Annotated[bool, Option(bool, "true or false", lambda value: True)]
Positive = Annotated[float, _POSITIVE]
NotNegative = Annotated[float, Option(float, "a number >= 0", lambda v: 0 <= v < float("inf"))]
Text = Annotated[str, _TEXT]
Names = Annotated[list[str], _Names()]


@dataclass(frozen=True)
class Weights:
    """Where the float weights of each network come from: every name stands in one list.

    The teacher is in `train` or `published`, a variant in `distill` or `published`. (Lists, because
    DVC can make a stage for each name of a list, but not for each row that says so.)
    """

    train: Names
    distill: Names
    published: Names

    def check(self, variants: Collection[str]) -> None:
        """Refuse a name that no network has, or that stands in no list, or in two."""
        for source, allowed in (
            ("train", ["teacher"]),
            ("distill", [*variants]),
            ("published", ["teacher", *variants]),
        ):
            for name in getattr(self, source):
                if name not in allowed:
                    raise PipelineError(
                        f"weights.{source} holds {printable(name)}{did_you_mean(name, allowed)}, "
                        f"but may only hold: {', '.join(allowed)}."
                    )
        for name in ("teacher", *variants):
            made = "train" if name == "teacher" else "distill"
            if (name in getattr(self, made)) == (name in self.published):
                both = "both weights" if name in self.published else "neither weights"
                raise PipelineError(
                    f"{name} stands in {both}.{made} and weights.published, but must be in one of "
                    "them: it says where the float weights come from."
                )


@dataclass(frozen=True)
class Published:
    """The authors' archive of float weights: a Google Drive file, or a local archive or folder."""

    drive_id: Annotated[
        str,
        Option(
            str,
            "the id of a Google Drive file (letters, digits, - and _)",
            lambda value: re.fullmatch(r"[A-Za-z0-9_-]{10,100}", value) is not None,
        ),
    ]
    sha256: Annotated[
        str | None,
        Nullable(
            Option(
                str,
                "64 hexadecimal digits, in quotes",
                lambda value: re.fullmatch(r"[0-9a-f]{64}", value) is not None,
            )
        ),
    ]
    path: Annotated[str | None, Nullable(_TEXT)]


@dataclass(frozen=True)
class Data:
    """Where the images come from, and how their values are normalised (of pixel / 255)."""

    source: Annotated[str, _one_of("cifar10", "folder", "digits")]
    path: Annotated[str | None, Nullable(_TEXT)]
    validation_images: Count
    mean: Annotated[
        tuple[float, float, float] | None,
        Nullable(Triple(_FRACTION)),
    ]
    std: Annotated[
        tuple[float, float, float] | None,
        Nullable(Triple(Option(float, "a number > 0 and <= 1", lambda value: 0 < value <= 1))),
    ]

    def __post_init__(self) -> None:
        """Refuse a mean without a std and the reverse."""
        if (self.mean is None) != (self.std is None):
            absent, given = ("std", "mean") if self.std is None else ("mean", "std")
            raise PipelineError(
                f"{absent} is null, but must be a list of three numbers because {given} is one "
                "(or set both to null to have them measured)."
            )


@dataclass(frozen=True)
class Network:
    """The sizes that teacher and students share."""

    patch_size: Annotated[int, _PATCH_SIZE]
    embed_dim: Count
    num_blocks: Count


@dataclass(frozen=True)
class Augment:
    """Random changes of the training images; `crop_padding` in pixels."""

    crop_padding: Annotated[
        int, Option(int, "a whole number from 0 to 16 (pixels)", lambda value: 0 <= value <= 16)
    ]
    flip: Flag
    rand_augment: Flag


@dataclass(frozen=True)
class Training:
    """What every training stage shares; `fused` asks for the bfloat16 passes of fused_resmlp."""

    batch_size: Count
    fused: Flag
    augment: Augment


@dataclass(frozen=True)
class Schedule:
    """AdamW with a cosine from `learning_rate` down to `learning_rate_min`."""

    learning_rate: Positive
    learning_rate_min: NotNegative
    weight_decay: NotNegative

    def __post_init__(self) -> None:
        """Refuse a rate that would grow."""
        if self.learning_rate_min > self.learning_rate:
            raise PipelineError(
                f"learning_rate_min is {self.learning_rate_min}, but must be at most "
                f"learning_rate, which is {self.learning_rate}."
            )


@dataclass(frozen=True)
class FloatSchedule(Schedule):
    """The same, with Muon for the weight matrices where `muon_learning_rate` is not null."""

    muon_learning_rate: Annotated[float | None, Nullable(_POSITIVE)]


@dataclass(frozen=True)
class ConvNet:
    """The convolutional network that the teacher learns from: Nesterov SGD, rate up then down."""

    widths: Annotated[tuple[int, int, int], Triple(_COUNT)]
    epochs: Count
    batch_size: Count
    learning_rate: Positive
    norm_learning_rate: Positive
    momentum: Annotated[float, _MOMENTUM]
    weight_decay: NotNegative
    label_smoothing: Annotated[float, _FRACTION]
    augment: Augment


@dataclass(frozen=True)
class Views:
    """Stored views of the training images, changed as `training.augment` says."""

    count: Count


@dataclass(frozen=True)
class Teacher(FloatSchedule):
    """The ReLU teacher, distilled from the convolutional network's stored views and the labels."""

    hidden_dim: Count
    epochs: Count
    temperature: Positive
    alpha: Annotated[float, _FRACTION]


@dataclass(frozen=True)
class Transfer(FloatSchedule):
    """Knowledge transfer: block-wise feature matching; 0 epochs leave it out."""

    epochs_per_block: CountOrZero


@dataclass(frozen=True)
class Distill(FloatSchedule):
    """Distillation: alpha * T^2 * CE(teacher / T, student / T) + (1 - alpha) * CE(labels).

    `seed` is that of the student's training, transfer included; None: the pipeline's. With
    `stored_views` the epochs go through the teacher's stored views in turn.
    """

    epochs: Count
    seed: Annotated[int | None, Nullable(_COUNT_OR_ZERO)]
    stored_views: Flag
    spline_learning_rate: Positive
    temperature: Positive
    alpha: Annotated[float, _FRACTION]


@dataclass(frozen=True)
class Quantize(Schedule):
    """Quantisation-aware training; 0 epochs stop after the calibration."""

    epochs: CountOrZero
    scale_learning_rate: Positive
    calibration_images: Count


@dataclass(frozen=True)
class Verify:
    """How many golden samples are written for the hardware."""

    samples: Count


@dataclass(frozen=True)
class Csim:
    """C simulation: the compiler, and how many test images (0: the golden samples only)."""

    compiler: Text
    images: CountOrZero


@dataclass(frozen=True)
class Hls:
    """Synthesis: FPGA part, clock in ns and its uncertainty in percent (null: the tool's), tool.

    `cosim` and `export` add steps; the tool is stopped after `timeout_minutes` for all steps;
    `require_tool` makes a missing tool an error.
    """

    part: Annotated[str, _PART]
    clock_ns: Positive
    clock_uncertainty: Annotated[float | None, Nullable(_PERCENT)]
    flow_target: Annotated[str, _one_of("vitis", "vivado")]
    tool: Annotated[str, _one_of("auto", "vitis-run", "vitis_hls", "vivado_hls")]
    cosim: Flag
    export: Annotated[str, _one_of("none", "syn", "impl")]
    timeout_minutes: Count
    require_tool: Flag


@dataclass(frozen=True)
class VariantNetwork:
    """A student's activation (a name in the registry of activations), its options, its width."""

    activation: Annotated[
        str, Option(str, "one of: " + ", ".join(REGISTRY), lambda value: value in REGISTRY)
    ]
    hidden_dim: Count
    options: dict[str, float]


@dataclass(frozen=True)
class Variant:
    """One student: its network, and the general sections with its own overrides merged in."""

    name: str
    network: VariantNetwork
    transfer: Transfer
    distill: Distill
    quantize: Quantize


@dataclass(frozen=True)
class Params:
    """All of params.yaml."""

    code_root: Text
    seed: CountOrZero
    data: Data
    network: Network
    training: Training
    weights: Weights
    published: Published
    convnet: ConvNet
    views: Views
    teacher: Teacher
    transfer: Transfer
    distill: Distill
    quantize: Quantize
    verify: Verify
    csim: Csim
    hls: Hls
    variants: dict[str, Variant]
    designs: dict[str, Design]

    def variant(self, name: str) -> Variant:
        """Return the variant `name`; PipelineError lists the known names."""
        if name not in self.variants:
            raise PipelineError(
                f"There is no variant {name!r}{did_you_mean(name, self.variants)}; "
                f"params.yaml has: {', '.join(self.variants)}."
            )
        return self.variants[name]

    def training_seed(self, name: str) -> int:
        """Return the seed that a float network is trained with: a variant may have its own."""
        own = self.variants[name].distill.seed if name in self.variants else None
        return self.seed if own is None else own

    def design(self, name: str) -> Design:
        """Return the design `name`; PipelineError lists the known names."""
        if name not in self.designs:
            raise PipelineError(
                f"There is no design {name!r}{did_you_mean(name, self.designs)}; "
                f"params.yaml has: {', '.join(self.designs) or 'none'}."
            )
        return self.designs[name]


def load_params(path: Path | str = "params.yaml") -> Params:
    """Read and check a whole params.yaml; PipelineError names file, key, value and what may be."""
    document = read_yaml(path)
    try:
        return _params(document)
    except PipelineError as error:
        raise PipelineError(f"{path}: {error}") from None


def _params(document: object) -> Params:
    mappings = {"variants": AnyMapping(), "designs": AnyMapping()}
    values = checked_values({**rules_of(Params), **mappings}, document, "")
    if not values["variants"]:
        raise PipelineError("variants is empty, but must hold at least one student.")
    values["variants"] = {
        name: _variant(name, row, values) for name, row in values["variants"].items()
    }
    values["weights"].check(values["variants"])
    values["designs"] = designs_of(values["designs"], values["variants"])
    return Params(**values)


def check_name(name: object, where: str) -> str:
    """Return the name of a network if it can be one of a folder under data/; `where` is its key."""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name in RESERVED_NAMES:
        raise PipelineError(
            f"{where} is not a usable name; it must be lower-case letters, digits and _, begin "
            f"with a letter, and not be one of: {', '.join(RESERVED_NAMES)}."
        )
    return name


def _variant(key: object, row: object, general: Mapping[str, Any]) -> Variant:
    where = f"variants.{printable(key)}"
    name = check_name(key, where)
    overrides = dict.fromkeys(OVERRIDES, AnyMapping("a mapping ({} to change nothing)"))
    values = checked_values({"network": AnyMapping(), **overrides}, row, where)
    merged = {
        section: merge(general[section], values[section], f"{where}.{section}")
        for section in OVERRIDES
    }
    return Variant(name, _variant_network(values["network"], f"{where}.network"), **merged)


def _variant_network(rows: dict[str, object], where: str) -> VariantNetwork:
    """Check `activation` first: it says which options may stand beside `hidden_dim`."""
    fixed = rules_of(VariantNetwork)
    specs = list(REGISTRY.values())  # with no activation at all, that is the message to give
    if "activation" in rows:
        specs = [
            activation_spec(fixed["activation"].check(f"{where}.activation", rows["activation"]))
        ]
    options = {name: Leaf(option) for spec in specs for name, option in spec.options.items()}
    values = checked_values({**fixed, **options}, rows, where, optional=options)
    chosen = {name: values[name] for name in rows if name in options}
    return VariantNetwork(values["activation"], values["hidden_dim"], specs[0].check(chosen, where))
