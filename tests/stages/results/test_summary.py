"""The tables of the networks: ours beside the published figures, means over seeds, dashes."""

import json
import statistics
from dataclasses import replace
from pathlib import Path

import pytest

from stages.pipeline.params import load_params
from stages.results import published
from stages.results.metrics import training_cost
from stages.results.summary import networks, results_text, seed_groups
from tests.support.paths import ROOT

DEMO = load_params(ROOT / "demo" / "params.yaml")
CIFAR10 = replace(DEMO, data=replace(DEMO.data, source="cifar10"))
COST = {"epochs": 18, "seconds": 90.4, "processor": "Some CPU", "threads": 2}
FLOAT = {"accuracy": 85.5, "validation_accuracy": 86.0, "images": 364, "parameters": 9}
INT8 = {"accuracy": 84.25, "mismatches": 0, "images": 364}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def put(kind, name, **content):
    write(f"data/metrics/{kind}/{name}.json", content)


def put_cost(kind, name, **content):
    write(f"data/history/{kind}/{name}.json", {**COST, "torch": "2.13.0"} | content)


def write(path, content):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(content))


def tables(params):
    """Return the Markdown tables of the results, each as {first cell: {column: cell}}."""
    found = []
    for part in results_text(params).split("\n\n"):
        if part.startswith("|"):
            rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in part.splitlines()]
            header, _, *body = rows
            assert len(set(header)) == len(header)
            found.append({row[0]: dict(zip(header, row, strict=True)) for row in body})
    return found


def seeded(params, name, *seeds):
    """Return params with further variants like `name`, but of seeds of their own."""
    variant = params.variant(name)
    rows = {
        f"{name}_seed{seed}": replace(
            variant, name=f"{name}_seed{seed}", distill=replace(variant.distill, seed=seed)
        )
        for seed in seeds
    }
    return replace(params, variants={**params.variants, **rows})


# The table of the networks


def test_every_network_has_a_row_and_what_is_not_measured_is_a_dash():
    found = tables(CIFAR10)
    assert len(found) == 2  # accuracies, and what the trainings cost
    for table in found:
        assert list(table) == ["convnet", "teacher", "relu_h96", "bspline_h96", "lerp_psa_h96"]
        for name, row in table.items():
            ours = {title: cell for title, cell in row.items() if not title.startswith("published")}
            assert set(ours.values()) == {name, "-"}


def test_a_table_is_as_wide_as_a_page():
    params = seeded(CIFAR10, "relu_h96", 1)
    assert all(len(row) <= 7 for table in tables(params) for row in table.values())


def test_a_fetched_teacher_needs_no_convolutional_network():
    weights = replace(DEMO.weights, train=[], published=["teacher"])
    assert networks(replace(DEMO, weights=weights))[0] == "teacher"


def test_a_row_says_what_a_number_was_trained_with():
    put("float", "relu_h96", **FLOAT)
    put("int8", "relu_h96", **INT8)
    put_cost("float", "relu_h96")
    put_cost("int8", "relu_h96", epochs=4, seconds=30.0)
    accuracies, costs = tables(CIFAR10)
    assert accuracies["relu_h96"] == {
        **{"network": "relu_h96", "float, %": "85.50", "published float, %": "86.2"},
        **{"INT8, %": "84.25", "published INT8, %": "86.1", "logits unlike QAT (numpy)": "0"},
        **{"test images": "364"},
    }
    assert costs["relu_h96"] == {
        **{"network": "relu_h96", "epochs": "18", "QAT epochs": "4", "seed": "2023"},
        **{"minutes": "1.5", "QAT minutes": "0.5", "processor, threads": "Some CPU, 2"},
    }


def test_a_network_quantised_on_another_machine_names_both():
    put_cost("float", "relu_h96")
    put_cost("int8", "relu_h96", threads=8)
    _, table = tables(CIFAR10)
    assert table["relu_h96"]["processor, threads"] == "Some CPU, 2 / Some CPU, 8"


def test_the_seed_is_that_of_the_students_training():
    variant = CIFAR10.variant("relu_h96")
    own = replace(variant, distill=replace(variant.distill, seed=7))
    put_cost("float", "relu_h96")
    _, table = tables(replace(CIFAR10, variants={**CIFAR10.variants, "relu_h96": own}))
    assert table["relu_h96"]["seed"] == "7"


def test_weights_from_elsewhere_have_no_cost():
    put("float", "relu_h96", **FLOAT)
    put_cost("float", "relu_h96", **dict.fromkeys(COST) | {"epochs": 0})
    _, table = tables(CIFAR10)
    row = table["relu_h96"]
    assert row["epochs"] == "0"
    assert {row[key] for key in ("seed", "minutes", "processor, threads")} == {"-"}


@pytest.mark.parametrize(("accuracy", "cell"), [(86.19, "86.19"), (86.2, "86.20 *")])
def test_what_reaches_the_published_accuracy_is_marked(accuracy, cell):
    put("float", "relu_h96", accuracy=accuracy)
    put("int8", "relu_h96", accuracy=accuracy)
    put("float", "convnet", accuracy=99.0)
    put("int8", "bspline_h96", accuracy=99.0)
    table, _ = tables(CIFAR10)
    assert table["relu_h96"]["float, %"] == cell
    assert table["relu_h96"]["INT8, %"].endswith("*")  # published 86.1
    assert table["convnet"]["float, %"] == table["bspline_h96"]["INT8, %"] == "99.00"
    assert table["convnet"]["published float, %"] == "-"
    assert "at least the published" in results_text(CIFAR10)


def test_other_images_are_not_compared_with_the_published_figures():
    put("float", "relu_h96", accuracy=99.0)
    table, _ = tables(DEMO)
    assert table["relu_h96"]["float, %"] == "99.00"
    assert not [title for title in table["relu_h96"] if "published" in title]
    assert "published" not in results_text(DEMO)


def test_published_figures_are_of_networks_that_we_have():
    """Their names are those of params.yaml."""
    names = {"teacher", *load_params(ROOT / "params.yaml").variants}
    assert names >= published.FLOAT.keys() >= published.INT8.keys()
    assert len(published.FLOAT) == 13


# Seeds


def test_variants_of_other_seeds_share_a_row():
    params = seeded(seeded(CIFAR10, "relu_h96", 1, 2), "lerp_psa_h96", 1)
    groups = seed_groups(params)
    assert groups["relu_h96"] == ["relu_h96", "relu_h96_seed1", "relu_h96_seed2"]
    assert groups["bspline_h96"] == ["bspline_h96"]
    first, means, _ = tables(params)
    assert list(first) == list(tables(CIFAR10)[0])
    assert list(means) == ["relu_h96", "lerp_psa_h96"]


def test_a_variant_that_differs_in_more_than_the_seed_has_its_own_row():
    params = seeded(CIFAR10, "relu_h96", 1)
    other = params.variant("relu_h96_seed1")
    longer = replace(other, distill=replace(other.distill, epochs=99))
    params = replace(params, variants={**params.variants, other.name: longer})
    put("float", other.name, accuracy=86.2)
    table, _ = tables(params)
    row = table[other.name]  # beside the figure of the network that it is, trained otherwise
    assert (row["float, %"], row["published float, %"]) == ("86.20 *", "86.2")


def test_another_network_has_no_published_figure():
    params = seeded(CIFAR10, "relu_h96", 1)
    other = params.variant("relu_h96_seed1")
    wider = replace(other, network=replace(other.network, hidden_dim=97))
    params = replace(params, variants={**params.variants, other.name: wider})
    table, _ = tables(params)
    assert table[other.name]["published float, %"] == "-"


def test_mean_and_deviation_of_the_measured_seeds():
    params = seeded(CIFAR10, "relu_h96", 1, 2, 3)
    floats, integers = [86.0, 86.5, 87.75], [85.0, 86.0, 86.0]
    names = ["relu_h96", "relu_h96_seed1", "relu_h96_seed2"]
    for name, accuracy, int8 in zip(names, floats, integers, strict=True):
        put("float", name, accuracy=accuracy)
        put("int8", name, accuracy=int8)
    put("float", "relu_h96_seed3", accuracy=86.75)  # not yet in INT8
    row = tables(params)[1]["relu_h96"]
    variance = sum((value - 86.75) ** 2 for value in floats) / 3  # of the sample: n - 1
    assert row["float, %"] == f"86.75 ± {variance**0.5:.2f} (4)"
    assert row["INT8, %"] == f"85.67 ± {statistics.stdev(integers):.2f} (3)"
    differences = [-1.0, -0.5, -1.75]  # seed by seed
    spread = f"{statistics.mean(differences):.2f} ± {statistics.stdev(differences):.2f}"
    assert row["INT8 - float"] == f"{spread} (3)"


def test_a_single_seed_has_no_deviation():
    params = seeded(CIFAR10, "relu_h96", 1)
    put("float", "relu_h96", accuracy=86.0)
    put("int8", "relu_h96", accuracy=85.0)
    row = tables(params)[1]["relu_h96"]
    assert {cell for title, cell in row.items() if title != "network"} == {"- (1)"}


# What a training cost


def test_the_cost_is_read_with_the_seed(tmp_path):
    path = tmp_path / "cost.json"
    path.write_text(json.dumps({**COST, "torch": "2.13.0"}))
    assert training_cost(path, 7) == {**COST, "seed": 7}


@pytest.mark.parametrize("kept", [None, {"epochs": 0, "seconds": None}], ids=["none", "fetched"])
def test_what_was_not_trained_here_has_no_seed(kept, tmp_path):
    path = tmp_path / "cost.json"
    if kept is not None:
        path.write_text(json.dumps(kept))
    found = training_cost(path, 7)
    assert found.pop("epochs") == (None if kept is None else 0)
    assert found == dict.fromkeys(("seconds", "processor", "threads", "seed"))
