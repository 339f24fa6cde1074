"""dataset.npz."""

from stages.pipeline.dataset import Dataset
from tests.fuzz.harness import Reader
from tests.fuzz.mutations import changed_zip
from tests.support import specimens

READER = Reader(
    file="dataset.npz",
    seeds=lambda: [specimens.content_of(specimens.dataset().save, "dataset.npz")],
    read=Dataset.load,
    mutate=changed_zip,
)
