"""What train_many brings back from another machine: it is put in its places, or none of it is."""

import zipfile
from pathlib import Path

from stages.by_hand.train_many import unpack
from tests.fuzz.harness import Reader
from tests.fuzz.mutations import changed_zip
from tests.support import specimens


def _write(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data/relu_h8/float.pt", b"weights")
        archive.writestr("data/history/float/relu_h8.csv", b"epoch,loss\n1,0.5\n")
        archive.writestr(".ckpt/relu_h8-0123456789abcdef.pt", b"state")


READER = Reader(
    file="trained-0.zip",
    seeds=lambda: [specimens.content_of(_write, "trained-0.zip")],
    read=lambda path: unpack(path.parent),
    mutate=changed_zip,
)
