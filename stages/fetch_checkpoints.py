"""Fetch the teacher's float weights from the authors' archive instead of training them.

Writes data/teacher/float.pt, and data/history/float/teacher.{csv,json} with no epochs. (The stage
`distill` fetches a student whose row of params.yaml has `weights: published`.)
"""

from models.files.errors import PipelineError
from stages.pipeline.command import run_stage
from stages.pipeline.dataset import Dataset
from stages.pipeline.params import load_params
from stages.pipeline.paths import DATASET, TEACHER
from stages.published.weights import fetch_weights


def main() -> None:
    """Fetch the teacher's weights; PipelineError if params.yaml does not list it as published."""
    params = load_params()
    if TEACHER not in params.weights.published:
        raise PipelineError(
            f"weights.published in params.yaml does not hold {TEACHER}; move it there from "
            "weights.train to have the authors' teacher."
        )
    fetch_weights(params, TEACHER, Dataset.load(DATASET))


if __name__ == "__main__":
    run_stage(main)
