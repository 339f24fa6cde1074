"""The pictures: which are drawn from what is there, that they repeat, and what they say."""

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from hls.plan.design import Design
from hls.plan.simd.plan import plan_simd
from hls.plan.sizes import Sizes
from hls.plan.streaming.dataflow import streaming_network
from hls.plan.streaming.folding import published_folding
from models.files.errors import PipelineError
from stages.pipeline.params import load_params
from stages.results.functions import Functions, save_functions
from stages.results.markdown import markdown
from stages.results.mistakes import Classified, most_confident
from stages.results.pictures.front import Entry, entries_on_front
from stages.results.pictures.gallery import NAMES, gallery, plan_tables
from stages.results.pictures.labels import name_points
from stages.results.pictures.pipeline import Shortcut, shortcuts_of, steps_of
from stages.results.pictures.style import finish, look_of, new_figure
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

SIZES = Sizes(48, 64, 96, 96, 4, 10, True)
NETWORK, DESIGN = "lerp_psa_h96", "lerp_psa_h96_stream"
USAGE = """\
| layer, estimate | PE x SIMD | copies | multipliers | DSP | DSP, paired | LUT of memories | \
LUT of logic | BRAM 18 kbit |
|--|--|--|--|--|--|--|--|--|
| embed_linear | 1 x 48 | 1 | 48 | 32 | 48 | 800 | 1056 | 0 |
| total | - | 1 | 48 | 32 | 48 | 800 | 1056 | 0 |

| FIFO, model | high-water mark, words | depth with margin, words |
|--|--|--|
| token_mixer_shortcut | 12383 | 12445 |
| mlp_shortcut | 225 | 295 |
| link | 2 | 4 |
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(path, content):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(content if isinstance(content, str) else json.dumps(content))


def classified(count=40):
    logits = np.zeros((count, 10), np.int8)
    logits[np.arange(count), np.arange(count) % 10] = 5
    labels = np.arange(count) % 10
    labels[3] = 7
    return Classified(logits, labels, tuple(f"class {i}" for i in range(10)))


def put_everything(params):
    for number, name in enumerate(params.variants):
        put(f"data/metrics/float/{name}.json", {"accuracy": 80.0 + number, "parameters": 5000})
        put(f"data/metrics/int8/{name}.json", {"accuracy": 79.5 + number})
    for name in params.designs:
        model = {"model_images_per_second": 31923, "model_interval_cycles": 6265}
        put(
            f"data/metrics/model/{name}.json",
            {**model, "estimate_lut": 50000, "estimate_dsp": 780},
        )
    counts = np.ones((2, 256), np.int64)
    values = np.tile(np.linspace(-1, 1, 256, dtype=np.float32), (2, 1))
    one = Functions(np.arange(2), values, np.zeros((2, 65), np.int8), counts, np.array([0.1, 0.1]))
    path = Path(f"data/{NETWORK}/functions.npz")
    path.parent.mkdir(parents=True)
    save_functions(path, {f"blocks_{i}_mlp_{p}": one for i in (0, 1) for p in ("act_in",)})
    folding = published_folding(SIZES)
    depths = {"token_mixer_shortcut": 12445, "mlp_shortcut": 295, "link": 4}
    design = Design(NETWORK, "streaming", SIZES, folding, depths)
    put(f"data/designs/{DESIGN}/design.json", design.to_text())
    put(f"data/designs/{DESIGN}/plan.md", USAGE)


@pytest.fixture(scope="module")
def params():
    return load_params(ROOT / "params.yaml")


def test_every_picture_is_drawn_900_pixels_wide_and_repeats_byte_by_byte(params):
    put_everything(params)
    curves = {name: [(1, 50.0), (2, 60.0)] for name in ("convnet", "teacher", *params.variants)}
    pictures = gallery(params, curves, classified())
    assert tuple(sorted(pictures)) == tuple(sorted(NAMES))
    again = gallery(params, curves, classified())
    assert {k: p.content for k, p in again.items()} == {k: p.content for k, p in pictures.items()}
    for name, picture in pictures.items():
        with Image.open(BytesIO(picture.content)) as image:
            assert image.width <= 900 and image.height <= 1200, name
            assert not set(image.info) & {"Software", "Creation Time"}
        assert picture.title and picture.rests_on.endswith(".")


def test_what_is_not_there_is_not_drawn(params):
    assert gallery(params, {}, None) == {}


def test_other_images_are_not_compared_with_published_systems(params):
    demo = load_params(ROOT / "demo" / "params.yaml")
    put_everything(demo)
    pictures = gallery(demo, {}, None)
    assert {"accuracy", "front_rate", "functions", "pipeline"} <= set(pictures)


def test_a_simd_design_is_drawn_as_its_cycles(params):
    put_everything(params)
    plan = plan_simd(NETWORK, SIZES, (16, 16), 5.0)
    put(f"data/designs/{DESIGN}/design.json", plan.design.to_text())
    put(f"data/designs/{DESIGN}/plan.md", "\n".join(map(markdown, plan.tables)))
    assert {"pipeline", "resources"} <= set(gallery(params, {}, None))


@pytest.mark.parametrize("text", ["", USAGE.replace("1056", "many"), USAGE.replace("DSP |", "D |")])
def test_a_plan_without_its_tables_is_named(text):
    put(f"data/designs/{DESIGN}/plan.md", text)
    with pytest.raises(PipelineError, match=r"plan\.md has not the tables of a plan"):
        plan_tables(DESIGN)


def test_processes_of_one_unit_are_one_box():
    network = streaming_network(SIZES, published_folding(SIZES))
    steps = steps_of(network.processes, "blocks_0_token_mixer")
    names = ["duplicate", "affine_1", "linear_transpose_in", "linear", "linear_transpose_out"]
    assert [step.name for step in steps] == [*names, "affine_2", "residual"]
    slowest = max(steps, key=lambda step: step.cycles)
    assert (slowest.name, slowest.cycles) == ("linear", network.longest_stage)


def test_the_fifos_are_those_of_the_plan():
    put(f"data/designs/{DESIGN}/plan.md", USAGE)
    usage, fifos = plan_tables(DESIGN)
    assert shortcuts_of(fifos)["mlp_shortcut"] == Shortcut(225, 295)
    assert shortcuts_of(usage) == {}


def test_the_front_has_what_nothing_beats_in_both():
    cheap, good, beaten = Entry("a", 1, 80.0), Entry("b", 9, 90.0), Entry("c", 10, 85.0)
    assert entries_on_front([cheap, good, beaten], high=False) == [cheap, good]
    assert entries_on_front([cheap, good, beaten], high=True) == [good, beaten]


def test_names_do_not_cover_each_other():
    figure = new_figure(4)
    axes = figure.subplots()
    points = [(x, y) for x in (1.0, 1.02, 1.04) for y in (1.0, 1.02)]
    axes.plot(*zip(*points, strict=True), "o")
    finish(axes, "x", "y")
    axes.set(xlim=(0, 2), ylim=(0, 2))
    name_points(axes, points, ["a name"] * len(points))
    figure.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in axes.texts]  # without the lines
    assert len(boxes) == len(points)
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_an_activation_of_a_users_own_has_a_colour_of_its_own():
    names = ["relu", "bspline", "lerp_psa", "mine", "yours"]
    colours = {look_of(name, names).colour for name in names}
    assert len(colours) == len(names)


def test_the_most_confident_mistakes_come_first():
    results = classified()
    results.logits[13, 8] = 20  # its label is 3, with 5: a wider margin than that of image 3
    first, second = most_confident(results, 5)
    assert (first.image, first.true, first.predicted) == (13, "class 3", "class 8")
    assert (first.margin, second.image, second.margin) == (15, 3, 5)
    assert results.confusion.sum() == 40 and results.confusion[3, 8] == 1
