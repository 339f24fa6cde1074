"""The JSON files under data/metrics, data/synthesis and data/history, up to their table's cells."""

from pathlib import Path

from stages.results.markdown import cell
from stages.results.metrics import read_metrics
from tests.fuzz.harness import Reader
from tests.fuzz.mutations import changed_json

_SEEDS = (
    b'{\n  "accuracy": 87.28,\n  "images": 10000,\n  "parameters": 100074\n}\n',
    b'{"epochs": 134, "seconds": 333.1, "processor": "NVIDIA H200", "threads": null}\n',
    b'{"tool": "Vitis HLS", "export_timing_met": true, "clock_target_ns": 5.0, "note": null}\n',
)


def _read(path: Path) -> object:
    return [cell(value) for value in read_metrics(path).values()]


READER = Reader(file="relu_h96.json", seeds=lambda: _SEEDS, read=_read, mutate=changed_json)
