"""design.json, with and without its digest."""

import json
from dataclasses import asdict

from hls.plan.design import read_design
from tests.fuzz.harness import Reader
from tests.fuzz.mutations import changed_json
from tests.support import specimens


def _seeds() -> list[bytes]:
    design = specimens.design()
    simd = {**asdict(design), "accelerator": "simd", "array": [16, 8]}
    return [
        design.to_text().encode(),
        json.dumps(asdict(design)).encode(),
        json.dumps(simd).encode(),
    ]


READER = Reader(file="design.json", seeds=_seeds, read=read_design, mutate=changed_json)
