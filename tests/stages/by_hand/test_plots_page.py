"""`dvc plots show` without a network: the page has its scripts inside and draws."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from models.files.errors import PipelineError
from stages.by_hand import plots_page
from tests.support.browser import Page, needs_browser, opened
from tests.support.paths import ROOT

CURVES = "epoch,variant,activation,val_accuracy\n1,relu_h8,relu,50\n2,relu_h8,relu,60\n"
FRONT = (
    "system,whose,accuracy,parameters,images_per_second,lut_dsp,source\n"
    "relu_h8,relu,80,1000,,,trained here\nResNet-8,published,88.7,78000,30153,,arXiv\n"
)
PLOTS = """\
plots:
  - Validation accuracy:
      {template: variants, x: epoch, y: {data/plots/validation_accuracy.csv: val_accuracy}}
  - Front:
      {template: front, x: parameters, y: {data/plots/front.csv: accuracy}}
"""


@pytest.mark.parametrize("text", ["{plot_divs}", "{scripts}", "</script>"])
def test_a_script_that_would_end_the_page_is_refused(text):
    with pytest.raises(PipelineError, match="ends the page"):
        plots_page.page(f"let a = '{text}'")


def test_without_the_package_the_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(PipelineError, match="make setup"):
        plots_page.scripts()


def test_elsewhere_than_in_the_root_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PipelineError, match="repository's root"):
        plots_page.main()
    assert not list(tmp_path.iterdir())


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A DVC repository with our templates, and with points for both of them."""
    monkeypatch.chdir(tmp_path)
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, check=True)
    shutil.copytree(ROOT / ".dvc/plots", ".dvc/plots", dirs_exist_ok=True)
    Path("data/plots").mkdir(parents=True)
    Path("data/plots/validation_accuracy.csv").write_text(CURVES)
    Path("data/plots/front.csv").write_text(FRONT)
    Path("dvc.yaml").write_text(PLOTS)
    return tmp_path


def canvases(page: Page, wanted: int) -> int:
    for _ in range(100):
        count = page.run("return document.querySelectorAll('canvas, svg.marks').length")
        if count >= wanted:
            return count
        time.sleep(0.1)
    return count


@pytest.mark.pipeline
@needs_browser
def test_the_plots_are_drawn_without_a_network(repository: Path, tmp_path: Path) -> None:
    pytest.importorskip("vl_convert", reason="vl-convert-python is not installed")
    plots_page.main()
    assert "plots_page.html" in Path(".dvc/config.local").read_text()
    subprocess.run([sys.executable, "-m", "dvc", "plots", "show"], check=True, timeout=120)
    page = Path("dvc_plots/index.html")
    assert "cdn.jsdelivr.net" not in page.read_text().partition("<script")[0]
    assert 'src="http' not in page.read_text()
    with opened(page, tmp_path / "profile") as shown:
        assert canvases(shown, 2) == 2
        assert not [text for text in shown.errors() if "compiled spec uses Vega" not in text]
