"""Whatever README.md and docs/ name is there: links, paths, commands, stages, rows, examples."""

import doctest
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from models.float import activations
from models.float.activations import specs
from models.float.activations.registry import build_activation, is_tabulated
from stages.pipeline.params import load_params
from stages.pipeline.strict_yaml import read_yaml
from tests.support.paths import ROOT

README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [README, *DOCS]
MAX_LINES, MAX_WIDTH = 160, 110  # of README.md
GRAPH: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
PARAMS: Any = read_yaml(ROOT / "params.yaml")
TARGETS = {
    target
    for line in re.findall(r"^([\w./ -]+):(?!=)", (ROOT / "Makefile").read_text(), re.M)
    for target in line.split()
}
FOLDERS = ("benchmarks/", "docs/", "hls/", "models/", "stages/", "tests/", ".ci/", "demo/")
PLACEHOLDER = re.compile(r"[A-Z]+|\{\}")  # NAME, DESIGN, xargs' {}

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def blocks(page: Path, language: str = r"\w*") -> list[str]:
    """Return the fenced blocks of a page, without the indent of the list that they are in."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", page.read_text(), re.M | re.S)
    return [re.sub(rf"^{indent}", "", text, flags=re.M) for indent, text in found]


def code(page: Path) -> str:
    """Return everything on a page that is set as code, a span a line."""
    rest = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.M | re.S)
    spans = re.findall(r"`([^`]+)`", rest)
    text = "\n".join([*blocks(page), *(span.replace("\n", " ") for span in spans)])
    return text.replace("\\\n", " ")


def anchors(page: Path) -> set[str]:
    """Return the anchors that a code host makes of a page's headings."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    plain = (re.sub(r"[^\w\- ]", "", title.lower()) for title in titles)
    return {title.strip().replace(" ", "-") for title in plain}


def expanded(path: str) -> list[str]:
    """Expand {a,b} as a shell does."""
    match = re.search(r"\{([^{}]*,[^{}]*)\}", path)
    if not match:
        return [path]
    return [
        whole
        for part in match[1].split(",")
        for whole in expanded(path[: match.start()] + part + path[match.end() :])
    ]


def rows_of(stage: str) -> set[str]:
    """Return the rows of params.yaml for which a stage is made; none: it has no rows."""
    where = re.fullmatch(r"\$\{(\w+)(?:\.\w+)?\}", GRAPH[stage].get("foreach", ""))
    if where is None:
        return set()
    return {"teacher"} if where[1] == "weights" else set(PARAMS[where[1]])


def own_rows(page: Path) -> set[str]:
    """Return the rows that the page's own examples of params.yaml and of `dvc exp run` add."""
    documents = [yaml.safe_load(text) for text in blocks(page, "yaml")]
    added = re.findall(r"-S '\+(?:variants|designs)\.(\w+)=\{", code(page))
    return {row for document in documents for rows in document.values() for row in rows} | {*added}


def test_the_readme_is_a_page() -> None:
    lines = README.read_text().splitlines()
    assert len(lines) <= MAX_LINES
    assert not [line for line in lines if len(line) > MAX_WIDTH]


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_a_page_says_for_whom_it_is_and_is_linked_from_the_readme(page: Path) -> None:
    title, empty, reader = page.read_text().splitlines()[:3]
    assert title.startswith("# ") and not empty and reader.startswith("*For ")
    assert f"(docs/{page.name})" in README.read_text()


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@each_page
def test_paths_exist(page: Path) -> None:
    for word in re.findall(r"[\w.*{},/<>-]+", code(page)):
        if not word.startswith(FOLDERS) or re.search(r"[A-Z<]|/data/", word):
            continue
        for path in expanded(word.rstrip(".,")):
            assert list(ROOT.glob(path.rstrip("/"))) or "two_slopes" in path, path


@each_page
def test_targets_of_make_exist(page: Path) -> None:
    command = r"(?:^|[$`] ?|&& |=\S+ )make ([a-z][\w./-]*)"
    for target in re.findall(command, code(page), re.M):
        assert target in TARGETS, target
    for network in re.findall(r"\bNETWORK=(\w+)", code(page)):
        assert network in {"NAME", "all", *PARAMS["variants"]}, network


@each_page
def test_commands_of_python_exist(page: Path) -> None:
    text = code(page)
    for name in re.findall(r"python (?:\.\./)?stages (\S+)", text):
        known = [ROOT / "stages" / f"{name}.py", ROOT / "stages" / "by_hand" / f"{name}.py"]
        assert PLACEHOLDER.fullmatch(name) or any(path.exists() for path in known), name
    for module in re.findall(r"-m ((?:stages|benchmarks|docs)\.[\w.]+)", text):
        assert (ROOT / f"{module.replace('.', '/')}.py").exists(), module


@each_page
def test_rows_of_commands_exist(page: Path) -> None:
    known = {*PARAMS["variants"], *PARAMS["designs"], "teacher", *own_rows(page)}
    imported = set(re.findall(r"--name (\w+)", code(page)))
    for row in re.findall(r"python (?:\.\./)?stages [a-z_0-9]+ ([a-z]\w+)(?![\w.:])", code(page)):
        assert row in known | imported, row


@each_page
def test_stages_and_rows_of_dvc_exist(page: Path) -> None:
    text, own = code(page), own_rows(page)
    for stage, row in re.findall(r"\b([a-z_]+)@(\w+|\{\})", text):
        assert stage in GRAPH, stage
        assert PLACEHOLDER.fullmatch(row) or row in rows_of(stage) | own, f"{stage}@{row}"
    for arguments in re.findall(r"\bdvc (?:--[\w-]+ )*(?:repro|commit)\b([^\n|&#]*)", text):
        for word in shlex.split(arguments):
            if not word.startswith("-"):
                assert word.partition("@")[0] in GRAPH, word


@each_page
def test_overrides_of_experiments_are_keys_of_params(page: Path) -> None:
    for new, key in re.findall(r"(?:-S|--set-param) '?(\+?)([\w.]+)=", code(page)):
        if PLACEHOLDER.fullmatch(key):
            continue
        path = key.split(".")
        if new and len(path) == 2:  # a new row
            assert path[0] in ("variants", "designs"), key
            continue
        if new:  # what a row may add to itself stands in the general section, too
            assert path[0] == "variants" and path[1] in PARAMS["variants"], key
            path = path[2:]
        section = PARAMS
        for name in path:
            assert name in section, key
            section = section[name]


@each_page
def test_examples_of_params_are_accepted(page: Path, tmp_path: Path, monkeypatch: Any) -> None:
    document = {section: value for section, value in PARAMS.items()}
    with_files_of_the_page(page, tmp_path / "code", monkeypatch)
    for text in blocks(page, "yaml"):
        for section, rows in yaml.safe_load(text).items():
            document[section] = {**document[section], **rows}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(document))
    load_params(tmp_path / "params.yaml")


def with_files_of_the_page(page: Path, folder: Path, monkeypatch: Any) -> None:
    """Put the Python blocks under the paths that the text before them names."""
    (folder / "specs").mkdir(parents=True)
    sources = iter(blocks(page, "python"))
    for name in re.findall(
        r"`models/float/activations/((?:specs/)?two_slopes\.py)`", page.read_text()
    ):
        (folder / name).write_text(next(sources))
    for package in (activations, specs):
        place = folder if package is activations else folder / "specs"
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(place)])


def test_the_activation_of_the_example_works(tmp_path: Path, monkeypatch: Any) -> None:
    with_files_of_the_page(ROOT / "docs" / "extending.md", tmp_path, monkeypatch)
    slopes = build_activation("two_slopes", 3, initial=0.5)
    x = torch.tensor([[-2.0, 0.0, 3.0]])
    assert slopes(x).tolist() == [[-1, 0, 3]] and is_tabulated(slopes)
    with pytest.raises(ValueError, match=r"two_slopes.initial is -1, but must be a number >= 0"):
        build_activation("two_slopes", 3, initial=-1)
    for name in ("two_slopes", "specs.two_slopes"):
        del sys.modules[f"models.float.activations.{name}"]


@each_page
def test_sessions_of_python_show_what_comes_out(page: Path) -> None:
    for text in blocks(page, "python"):
        test = doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), 0)
        assert doctest.DocTestRunner().run(test).failed == 0
