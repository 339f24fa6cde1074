"""The stored views of a network in .ckpt/."""

from stages.augment.views import load_views
from tests.fuzz.harness import Reader
from tests.fuzz.mutations import changed_zip
from tests.support import specimens

READER = Reader(
    file="views.npz",
    seeds=lambda: [specimens.content_of(specimens.views().save, "views.npz")],
    read=lambda path: load_views(path, specimens.AS_IS, 0),
    mutate=changed_zip,
)
