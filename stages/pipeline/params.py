"""Read params.yaml strictly into frozen dataclasses, the schema of all its values.

A new parameter needs one line here and one in params.yaml. `stages/pipeline/rules.py` words the
errors of pydantic. This module does not import torch.
"""

import re
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator
from pydantic.dataclasses import dataclass

from hls.cpp.accelerators import STREAMING
from models.files.errors import PipelineError
from models.float.activations.registry import activation_names, activation_spec
from stages.pipeline.designs import DesignRow, design_row
from stages.pipeline.rules import (
    SECTION,
    Count,
    Size,
    did_you_mean,
    number,
    one_of,
    printable,
    refused,
    rule,
    unknown_key,
    validated,
    whole,
)
from stages.pipeline.strict_yaml import read_yaml

IMAGE_SIZE = 32  # pixels per side; every source is resized to it
# Names of the pipeline's own folders, files and options, and of Windows's devices.
RESERVED_NAMES = (
    *("teacher", "convnet", "metrics", "history", "plots", "published", "designs", "code"),
    *("pipeline", "synthesis", "sweeps", "dataset", "report", "all", "con", "prn", "aux", "nul"),
    *(f"{device}{number}" for device in ("com", "lpt") for number in range(10)),
)

# The sections of which a row of `variants` can change keys, itself or by its recipe.
SECTIONS_OF_ROWS = ("transfer", "distill", "quantize")

T = TypeVar("T")

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


def _divides_the_image(size: int) -> int:
    if IMAGE_SIZE % size:
        raise ValueError
    return size


# Less than 32: a single patch would be a single token, with nothing to mix or to average.
PatchSize = Annotated[
    int,
    rule("a whole number from 1 to 16 that divides 32", ge=1, lt=IMAGE_SIZE),
    AfterValidator(_divides_the_image),
]
Padding = Annotated[int, rule("a whole number from 0 to 16 (pixels)", ge=0, le=16)]
Blocks = Annotated[int, whole(1, 100)]
Epochs = Annotated[int, whole(1, 100_000)]
EpochsOrNone = Annotated[int, whole(0, 100_000)]
CountOrZero = Annotated[int, whole(0, 10_000_000)]
Few = Annotated[int, whole(1, 1_000)]
Seed = Annotated[int, whole(0, 2**32 - 1)]
Minutes = Annotated[int, whole(1, 50_000)]
Rate = Annotated[float, number(gt=0, le=1_000)]
NotNegative = Annotated[float, number(ge=0, le=1_000)]
Temperature = Annotated[float, number(ge=0.001, le=1_000)]
_ECP5 = "the full name of an ECP5, such as LFE5U-85F-6BG381C (letters LFE5U, size, speed, package)"
Period = Annotated[float, number(unit=" (ns)", ge=0.1, le=1_000)]
Fraction = Annotated[float, rule("a number from 0 to 1", ge=0, le=1)]
Deviation = Annotated[float, number(ge=0.001, le=1)]
Percent = Annotated[float, rule("a number from 0 to 99 (percent)", ge=0, le=99)]
Decay = Annotated[float, rule("a number from 0 to less than 1 (0: no average)", ge=0, lt=1)]
# torch refuses Nesterov SGD with momentum 0; with 1 old gradients never decay.
Momentum = Annotated[float, number(gt=0, lt=1)]
Flag = Annotated[bool, rule("true or false")]
_LINE = r"^\P{C}*[^\pC\pZ]\P{C}*$"
Text = Annotated[str, rule("a text of one line, 1 to 1000 characters", _LINE, max_length=1000)]
_ID = "the id of a Google Drive file (letters, digits, - and _)"
DriveId = Annotated[str, rule(_ID, "^[-_0-9A-Za-z]{10,100}$")]
Sha256 = Annotated[str, rule("64 hexadecimal digits, in quotes", "^[0-9a-f]{64}$")]
# The part name is written into a Tcl script and a config file, so no other characters are allowed.
_PART = "a part name of at most 64 letters, digits, . _ and -"
Part = Annotated[str, rule(_PART, "^[-._0-9A-Za-z]{1,64}$")]
Teachers = Annotated[list[Annotated[str, one_of("teacher")]], rule("[teacher] or []", max_length=1)]
Overrides = Annotated[dict[Any, Any], rule("a mapping of the keys to change")]
Rows = Annotated[dict[Any, Any], rule("a mapping of names to rows")]


@dataclass(frozen=True, config=SECTION)
class Weights:
    """Where the teacher's float weights come from; it must be in exactly one of the lists.

    They are lists because DVC's foreach creates a stage per item. A student's row has its own key
    `weights`.
    """

    train: Teachers
    published: Teachers

    def __post_init__(self) -> None:
        if bool(self.train) == bool(self.published):
            both = "both of them hold" if self.train else "neither of them holds"
            raise ValueError(
                f"train and weights.published: {both} the teacher, but exactly one must: it says "
                "where the float weights come from."
            )


@dataclass(frozen=True, config=SECTION)
class Published:
    """The authors' archive of float weights: a Google Drive file, or a local archive or folder."""

    drive_id: DriveId
    sha256: Sha256 | None
    path: Text | None


@dataclass(frozen=True, config=SECTION)
class Data:
    """The source of the images, and mean and std of pixel / 255 for the normalisation."""

    source: Annotated[str, one_of("cifar10", "folder", "digits")]
    path: Text | None
    validation_images: Count
    mean: tuple[Fraction, Fraction, Fraction] | None
    std: tuple[Deviation, Deviation, Deviation] | None

    def __post_init__(self) -> None:
        if (self.mean is None) != (self.std is None):
            absent, given = ("std", "mean") if self.std is None else ("mean", "std")
            raise ValueError(
                f"{absent} is null, but must be a list of three numbers because {given} is one "
                "(or set both to null to have them measured)."
            )


@dataclass(frozen=True, config=SECTION)
class NetworkSizes:
    """The sizes that the teacher and the students share."""

    patch_size: PatchSize
    embed_dim: Size
    num_blocks: Blocks


@dataclass(frozen=True, config=SECTION)
class Augment:
    """Random changes of the training images; `crop_padding` is in pixels."""

    crop_padding: Padding
    flip: Flag
    rand_augment: Flag


@dataclass(frozen=True, config=SECTION)
class Training:
    """Settings of every training stage; `fused` enables the passes of models/float/fused."""

    batch_size: Size
    fused: Flag
    augment: Augment


@dataclass(frozen=True, config=SECTION)
class Schedule:
    """AdamW with a cosine schedule from `learning_rate` down to `learning_rate_min`."""

    learning_rate: Rate
    learning_rate_min: NotNegative
    weight_decay: NotNegative

    def __post_init__(self) -> None:
        if self.learning_rate_min > self.learning_rate:
            raise ValueError(
                f"learning_rate_min is {self.learning_rate_min}, but must be at most "
                f"learning_rate, which is {self.learning_rate}."
            )


@dataclass(frozen=True, config=SECTION)
class FloatSchedule(Schedule):
    """A schedule with Muon for the weight matrices, unless `muon_learning_rate` is null."""

    muon_learning_rate: Rate | None


@dataclass(frozen=True, config=SECTION)
class ConvNetRecipe:
    """The convolutional network for the teacher: Nesterov SGD with a 1-cycle learning rate."""

    widths: tuple[Size, Size, Size]
    epochs: Epochs
    batch_size: Size
    learning_rate: Rate
    norm_learning_rate: Rate
    momentum: Momentum
    weight_decay: NotNegative
    label_smoothing: Fraction
    ema: Decay
    all_images: Flag
    augment: Augment


@dataclass(frozen=True, config=SECTION)
class Views:
    """The number of stored views of the training images, which `training.augment` changes."""

    count: Few


@dataclass(frozen=True, config=SECTION)
class Matching(FloatSchedule):
    """Distillation: alpha * T^2 * CE(teacher / T, student / T) + (1 - alpha) * CE(labels).

    With `stored_views`, epochs cycle through stored views; without them the teacher sees every
    batch, of which the share `mixup` is mixed. `ema` is the decay per step of the average of the
    weights, which replaces them; 0: no average. `all_images` trains on the validation images, too.
    """

    epochs: Epochs
    temperature: Temperature
    alpha: Fraction
    stored_views: Flag
    mixup: Fraction
    ema: Decay
    all_images: Flag

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.stored_views:
            return
        reason = "because stored_views is true: logits are stored of training images, not mixed"
        if self.mixup:
            raise ValueError(f"mixup is {self.mixup}, but must be 0 {reason}.")
        if self.all_images:
            raise ValueError(f"all_images is true, but must be false {reason}.")


@dataclass(frozen=True, config=SECTION)
class Teacher(Matching):
    """The ReLU teacher, distilled from the convolutional network's logits and the labels."""

    hidden_dim: Size


@dataclass(frozen=True, config=SECTION)
class Transfer(FloatSchedule):
    """Knowledge transfer: block-wise feature matching; 0 epochs skip it."""

    epochs_per_block: EpochsOrNone


@dataclass(frozen=True, config=SECTION)
class Distill(Matching):
    """Distillation of a student, from the mean of two teachers' logits.

    `convnet_share` is the weight of the convolutional network's logits, the ResMLP teacher's have
    the rest. `start` is a variant whose trained weights the student starts from; None: random ones.
    `seed` is the seed of the student's training, transfer included; None means `Params.seed`.
    """

    convnet_share: Fraction
    start: Text | None
    seed: Seed | None
    spline_learning_rate: Rate

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stored_views and self.convnet_share:
            raise ValueError(
                f"convnet_share is {self.convnet_share}, but must be 0 because stored_views is "
                "true: the stored logits are the ResMLP teacher's."
            )


@dataclass(frozen=True, config=SECTION)
class Quantize(Schedule):
    """Quantisation-aware training; 0 epochs stop after the calibration.

    Teachers, temperature, alpha and `all_images` are those of the variant's `distill`; `mixup` and
    `ema` as in `Matching`.
    """

    epochs: EpochsOrNone
    mixup: Fraction
    ema: Decay
    scale_learning_rate: Rate
    calibration_images: Count


@dataclass(frozen=True, config=SECTION)
class Csim:
    """C simulation: the compiler, and the numbers of golden samples and test images.

    0 test images: only the golden samples are compared.
    """

    compiler: Text
    samples: Few
    images: CountOrZero


@dataclass(frozen=True, config=SECTION)
class RtlDesign:
    """A design of which the stage `rtl` makes RTL, and that design's variant, which DVC needs.

    `images` are the test images for this design; None: those of `rtl.images`.
    """

    variant: Text
    images: Count | None = None


@dataclass(frozen=True, config=SECTION)
class Rtl:
    """Simulation of RTL: the number of test images, and the streaming designs it is made of."""

    images: Count
    designs: dict[str, RtlDesign]

    def images_of(self, design: str) -> int:
        """Return the number of test images to run through the RTL of a design."""
        row = self.designs.get(design)
        return self.images if row is None or row.images is None else row.images


@dataclass(frozen=True, config=SECTION)
class Gates:
    """Gates of RTL: the ECP5 to route on, its clock, and the designs, which are rows of `rtl`."""

    part: Annotated[str, rule(_ECP5, r"^LFE5U-(12|25|45|85)F-[678]BG(256|381|554|756)C?$")]
    clock_mhz: Annotated[float, number(gt=0, le=1000)]
    designs: list[Text]


@dataclass(frozen=True, config=SECTION)
class Hls:
    """Synthesis with an HLS tool for an FPGA part.

    The clock period is in ns, its uncertainty in percent (null: the tool's default). `cosim` and
    `export` add steps. The tool is stopped when all steps together exceed `timeout_minutes`.
    `require_tool` makes a missing tool an error.
    """

    part: Part
    clock_ns: Period
    clock_uncertainty: Percent | None
    flow_target: Annotated[str, one_of("vitis", "vivado")]
    tool: Annotated[str, one_of("auto", "vitis-run", "vitis_hls", "vivado_hls")]
    cosim: Flag
    export: Annotated[str, one_of("none", "syn", "impl")]
    timeout_minutes: Minutes
    require_tool: Flag


@dataclass(frozen=True, config=SECTION)
class Report:
    """The variant and the design of which the report has pictures."""

    network: Text
    design: Text


@dataclass(frozen=True, config=SECTION)
class VariantNetwork:
    """A student's activation by its name in the registry, its options, and its hidden channels."""

    activation: str
    hidden_dim: Size
    options: dict[str, int | float]


@dataclass(frozen=True, config=SECTION)
class Variant:
    """One student: its network, and the general sections with the overrides of its row.

    `weights` is `distill` if its float weights are trained, `published` if they are the authors'.
    """

    name: str
    network: VariantNetwork
    transfer: Transfer
    distill: Distill
    quantize: Quantize
    weights: str = "distill"


@dataclass(frozen=True, config=SECTION)
class _VariantRow:
    """The keys that a row of `variants` may have besides the options of its activation."""

    activation: Annotated[str, rule("one of the rows of `activations`")]
    hidden_dim: Size
    weights: Annotated[str, one_of("distill", "published")] = "distill"
    recipe: Text | None = None
    transfer: Overrides = field(default_factory=dict)
    distill: Overrides = field(default_factory=dict)
    quantize: Overrides = field(default_factory=dict)


@dataclass(frozen=True, config=SECTION)
class Recipe:
    """Changes of the general sections that the rows of `variants` can share, by section."""

    transfer: Overrides = field(default_factory=dict)
    distill: Overrides = field(default_factory=dict)
    quantize: Overrides = field(default_factory=dict)


@dataclass(frozen=True, config=SECTION)
class _Sections:
    """The sections of params.yaml that are not tables of rows."""

    code_root: Text
    seed: Seed
    data: Data
    network: NetworkSizes
    training: Training
    weights: Weights
    published: Published
    convnet: ConvNetRecipe
    views: Views
    teacher: Teacher
    transfer: Transfer
    distill: Distill
    quantize: Quantize
    recipes: dict[str, Recipe]
    csim: Csim
    rtl: Rtl
    gates: Gates
    hls: Hls
    report: Report


@dataclass(frozen=True, config=SECTION)
class _File(_Sections):
    """params.yaml before its rows are checked."""

    activations: Rows
    variants: Rows
    designs: Rows


@dataclass(frozen=True, config=SECTION)
class Params(_Sections):
    """The checked params.yaml; the options of `activations` are merged into the variants."""

    variants: dict[str, Variant]
    designs: dict[str, DesignRow]

    def variant(self, name: str) -> Variant:
        """Return the variant `name`; an unknown name raises PipelineError with the known ones."""
        return _row("variant", self.variants, name)

    def design(self, name: str) -> DesignRow:
        """Return the design `name`; an unknown name raises PipelineError with the known ones."""
        return _row("design", self.designs, name)

    def training_seed(self, name: str) -> int:
        """Return the seed that trains a float network: the variant's own seed if it has one."""
        own = self.variants[name].distill.seed if name in self.variants else None
        return self.seed if own is None else own


def load_params(path: Path | str = "params.yaml") -> Params:
    """Read and check params.yaml.

    PipelineError names the file, the key, its value and what is allowed.
    """
    document = read_yaml(path)
    try:
        return params_of(document)
    except PipelineError as error:
        raise PipelineError(f"{path}: {error}") from None


def params_of(document: object) -> Params:
    """Check the content of a params.yaml; PipelineError names the key and what is allowed."""
    file = validated(_File, document)
    if not file.variants:
        raise PipelineError("variants is empty, but must hold at least one student.")
    activations = {name: _activation(name, row) for name, row in file.activations.items()}
    variants = {}
    for key, row in file.variants.items():
        where = f"variants.{printable(key)}"
        variants[key] = _variant(check_name(key, where), where, row, file, activations)
    for name, variant in variants.items():
        _check_start(f"variants.{name}.distill", variant, variants)
        _check_convnet(f"variants.{name}.distill", variant, file)
    designs = {}
    for key, row in file.designs.items():
        where = f"designs.{printable(key)}"
        designs[check_name(key, where)] = design_row(where, row, variants)
    for key, row in file.rtl.designs.items():
        _check_rtl(f"rtl.designs.{printable(key)}", designs.get(key), row.variant)
    for name in file.gates.designs:
        if name not in file.rtl.designs:
            raise PipelineError(
                f"gates.designs has {printable(name)}, of which no RTL is made; remove it or add "
                "it to rtl.designs."
            )
    sections = {name: getattr(file, name) for name in _Sections.__dataclass_fields__}
    return Params(**sections, variants=variants, designs=designs)


def check_name(name: object, where: str) -> str:
    """Return `name` if it can name a network's or design's folder; otherwise raise PipelineError.

    `where` is the key that the error names.
    """
    if name in RESERVED_NAMES:
        raise PipelineError(f"{where} is not a usable name: it is reserved; choose another.")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise PipelineError(
            f"{where} is not a usable name; it must be at most 64 lower-case letters, digits and "
            "_, and begin with a letter."
        )
    return name


def _check_rtl(where: str, design: DesignRow | None, variant: str) -> None:
    if design is None or design.accelerator != STREAMING:
        raise PipelineError(
            f"{where} is not a streaming design of the section designs; remove or add it."
        )
    if design.variant != variant:
        raise PipelineError(
            refused(f"{where}.variant", variant, f"{design.variant}, as in designs")
        )


def _activation(name: object, row: object) -> dict[str, Any]:
    """Return the checked options of a row of `activations`."""
    where = f"activations.{printable(name)}"
    if name not in activation_names():
        raise PipelineError(unknown_key(where, name, activation_names()))
    if not isinstance(row, dict):
        raise PipelineError(refused(where, row, "a mapping of options ({} for none)"))
    for key in row:
        if key not in (known := activation_spec(name).options):
            raise PipelineError(unknown_key(f"{where}.{printable(key)}", key, known))
    return _checked(name, row, where)


def _checked(activation: object, options: Mapping[str, object], where: str) -> dict[str, Any]:
    try:
        return activation_spec(activation).check(options, where)
    except ValueError as error:
        raise PipelineError(str(error)) from None


def _variant(
    name: str, where: str, row: object, file: _File, activations: Mapping[str, dict[str, Any]]
) -> Variant:
    """Return the checked row. `activation` comes first: it determines which options are allowed."""
    rows: dict[Any, object] = row if isinstance(row, dict) else {}
    activation = rows.get("activation")
    likely = [activation] if activation in list(activations) else activations
    known = [option for other in likely for option in activation_spec(other).options]
    own = {key: value for key, value in rows.items() if key in known}
    rest = {key: value for key, value in rows.items() if key not in known} if rows else row
    fixed = validated(_VariantRow, rest, where, known)
    if fixed.activation not in activations:
        allowed = f"one of the rows of `activations`: {', '.join(activations)}"
        raise PipelineError(refused(f"{where}.activation", fixed.activation, allowed, activations))
    options = activations[fixed.activation] | _checked(fixed.activation, own, where)
    recipe = _recipe(fixed.recipe, file, where)
    merged, changed = {}, {}
    for section in SECTIONS_OF_ROWS:
        general = getattr(file, section)
        if fixed.recipe is not None:  # first alone, so that an error names the recipe
            key = f"recipes.{fixed.recipe}.{section}"
            general = _merged(general, getattr(recipe, section), key)
        changed[section] = getattr(recipe, section) | getattr(fixed, section)
        merged[section] = _merged(general, getattr(fixed, section), f"{where}.{section}")
    asked, most = merged["quantize"].calibration_images, file.data.validation_images
    if asked > most:
        row_of = f"{where}." if "calibration_images" in changed["quantize"] else ""
        allowed = f"at most data.validation_images, which is {most}"
        raise PipelineError(refused(f"{row_of}quantize.calibration_images", asked, allowed))
    network = VariantNetwork(fixed.activation, fixed.hidden_dim, options)
    return Variant(name, network, **merged, weights=fixed.weights)


def _recipe(name: str | None, file: _File, where: str) -> Recipe:
    """Return the recipe that a row of `variants` names, an empty one if it names none."""
    if name is None:
        return Recipe()
    if name not in file.recipes:
        allowed = f"a row of `recipes`: {', '.join(file.recipes) or 'none'}"
        raise PipelineError(refused(f"{where}.recipe", name, allowed, file.recipes))
    return file.recipes[name]


def _check_start(where: str, variant: Variant, variants: Mapping[str, Variant]) -> None:
    """Raise PipelineError unless a student starts from one that has all that it needs."""
    start = variant.distill.start
    if start is None:
        return
    wide = variants.get(start)
    own = variant.network
    if wide is not None and start != variant.name:
        same = (wide.network.activation, wide.network.options) == (own.activation, own.options)
        if same and wide.network.hidden_dim >= own.hidden_dim:
            return
    allowed = (
        f"null or another row of `variants` with the activation {own.activation}, the same options "
        f"and a hidden_dim of at least {own.hidden_dim}"
    )
    raise PipelineError(refused(f"{where}.start", start, allowed, variants))


def _check_convnet(where: str, variant: Variant, file: _File) -> None:
    if variant.distill.convnet_share and not file.weights.train:
        allowed = "0, because weights.published holds the teacher: there is no ConvNet"
        raise PipelineError(
            refused(f"{where}.convnet_share", variant.distill.convnet_share, allowed)
        )


def _merged(general: T, overrides: Mapping[Any, object], where: str) -> T:
    return validated(type(general), {**vars(general), **overrides}, where)


def _row(kind: str, rows: Mapping[str, T], name: str) -> T:
    if name not in rows:
        raise PipelineError(
            f"There is no {kind} {name!r}{did_you_mean(name, rows)}; "
            f"params.yaml has: {', '.join(rows) or 'none'}."
        )
    return rows[name]
