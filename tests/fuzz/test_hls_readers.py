"""Headers and reports with random damage are read or refused in one sentence, in time."""

import random
import time

import pytest

from models.files.errors import PipelineError
from tests.fuzz.readers import headers, reports


@pytest.mark.parametrize("reader", [headers, reports], ids=lambda reader: reader.NAME)
def test_changed_files_are_read_or_refused(reader, tmp_path):
    path = tmp_path / reader.FILE
    for seed in range(60):
        path.write_bytes(reader.mutate(random.Random(f"{reader.NAME} {seed}")))
        start = time.process_time()
        try:
            reader.read(path)
        except PipelineError as error:
            assert "\n" not in str(error) and len(str(error)) < 1000, seed
        assert time.process_time() - start < 5, seed
