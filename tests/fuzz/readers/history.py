"""The training curves under data/history."""

from pathlib import Path

from stages.results.history import read_curve
from tests.fuzz.harness import Reader
from tests.fuzz.mutations import changed_text

_SEED = b"""\
epoch,phase,learning_rate,loss,accuracy,val_loss,val_accuracy
1,transfer_0,0.001,0.5,,0.4,
2,distill,0.001,1.5,40.0,1.4,41.25
3,distill,0.0005,1.25,50.0,1.2,50.5
"""


def _seeds() -> list[bytes]:
    Path("relu_h96.json").write_text('{"epochs": 3}')
    return [_SEED]


READER = Reader(file="relu_h96.csv", seeds=_seeds, read=read_curve, mutate=changed_text)
