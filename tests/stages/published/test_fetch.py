"""The authors' archive: from Google Drive (faked below gdown), a cache or a local path; unpacking.

No test reaches the network: `Drive` stands in for the transport of `requests`.
"""

import gzip
import hashlib
import io
import json
import os
from pathlib import Path

import gdown
import numpy as np
import pytest
import requests
import torch
import urllib3
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.files.errors import PipelineError
from models.float.checkpoint import read_state
from models.float.published import load_published_into, save_published
from models.float.resmlp import ResMLP
from stages import distill, fetch_checkpoints
from stages.networks.resmlp import build_network
from stages.pipeline.dataset import Dataset, Split
from stages.pipeline.params import Published, load_params
from stages.pipeline.strict_yaml import read_yaml
from stages.published import fetch as _fetch
from stages.published.archive import check_archive, read_checkpoint
from tests.support.archives import gzip_bytes, tar_bytes, write_set, zip_bytes
from tests.support.images import IMAGES
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

DRIVE_ID = "1Z2Bja_5nlB2InSX0KuGOsZse4n6RAqaY"
URL = f"https://drive.google.com/file/d/{DRIVE_ID}/view"
NAME = "baseline/h_mul_1_model.bin"
INSIDE = f"output/cifar10/resmlp_layers_4_h_4_embed_96/{NAME}"
QUOTA = '<p class="uc-error-subcaption">Too many users have viewed or downloaded this file</p>'
WARNING = (
    '<form id="download-form" action="https://drive.usercontent.google.com/download">'
    '<input type="hidden" name="confirm" value="t"></form>'
)


ARCHIVE = zip_bytes({INSIDE: b"weights" * 1000})


class Drive:
    """A transport for `requests` that answers with what is put into `answers`, the last for ever.

    An answer is an exception to raise, or status, headers and body.
    """

    def __init__(self):
        self.answers, self.requests = [], []

    def send(self, request, **options):
        assert options["timeout"] is not None, "gdown would wait for ever"
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        status, headers, body = answer
        response = requests.Response()
        response.status_code, response.url, response.request = status, request.url, request
        response.headers.update(headers)
        response.raw = urllib3.HTTPResponse(
            io.BytesIO(body), headers, status, preload_content=False, enforce_content_length=False
        )
        return response


def file_answer(body=ARCHIVE, length=None, status=200, **headers):
    return (
        status,
        {
            "Content-Type": "application/octet-stream",
            "Content-Disposition": 'attachment; filename="output.zip"',
            "Content-Length": str(len(body) if length is None else length),
            **headers,
        },
        body,
    )


def page_answer(text, status=200):
    return status, {"Content-Type": "text/html; charset=utf-8"}, text.encode()


@pytest.fixture
def drive(monkeypatch, tmp_path):
    """Return the fake transport; the user's cache is in tmp_path and retries do not wait."""
    fake = Drive()
    monkeypatch.setattr(
        "requests.adapters.HTTPAdapter.send",
        lambda _, request, **options: fake.send(request, **options),
    )
    monkeypatch.setattr("random.uniform", lambda low, high: 0.0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return fake


@pytest.fixture
def cached(tmp_path):
    """Return where the archive is kept."""
    return tmp_path / "cache" / "lerp-psa" / f"checkpoints-{DRIVE_ID}"


def published(sha256=None, path=None):
    return Published(DRIVE_ID, sha256, None if path is None else str(path))


def digest(content):
    return hashlib.sha256(content).hexdigest()


def write(tmp_path, content):
    (tmp_path / "archive").write_bytes(content)
    return tmp_path / "archive"


def refused(call, *words):
    """Check that `call` raises one sentence with these words, and return it."""
    with pytest.raises(PipelineError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert str(word) in message, message
    return message


def download_fails(cached, *words):
    """Check that the message has these words, the URL and where to save the file by hand."""
    return refused(lambda: _fetch.archive(published()), URL, cached, "published.path", *words)


# ---- downloading


def test_the_archive_is_downloaded_once_past_the_page_about_viruses(
    drive, cached, caplog, tmp_path
):
    caplog.set_level("INFO")
    drive.answers = [page_answer(WARNING), file_answer()]
    assert _fetch.archive(published()) == cached
    assert cached.read_bytes() == ARCHIVE
    assert digest(ARCHIVE) in caplog.text and "published.sha256" in caplog.text
    assert [DRIVE_ID in drive.requests[0].url, len(drive.requests)] == [True, 2]
    assert _fetch.archive(published()) == cached
    assert len(drive.requests) == 2
    assert os.listdir(cached.parent) == [cached.name]
    assert not (tmp_path / "home").exists()  # the user's cookies are left alone


def test_a_file_saved_by_hand_needs_no_network_and_a_pinned_one_is_not_told(drive, cached, caplog):
    caplog.set_level("INFO")
    cached.parent.mkdir(parents=True)
    cached.write_bytes(ARCHIVE)
    drive.answers = [requests.ConnectionError("offline")]
    assert _fetch.archive(published(digest(ARCHIVE))) == cached
    assert not drive.requests and "published.sha256" not in caplog.text


def test_a_tampered_download_is_renamed_and_told(drive, cached):
    drive.answers = [file_answer()]
    message = refused(lambda: _fetch.archive(published("0" * 64)), digest(ARCHIVE), "0" * 64, URL)
    [kept] = cached.parent.iterdir()
    assert kept.name != cached.name and str(kept) in message
    assert kept.read_bytes() == ARCHIVE


@pytest.mark.parametrize("content", [b"other", b"<!DOCTYPE html>", ARCHIVE[:-30]])
@pytest.mark.parametrize("pinned", [False, True])
def test_a_wrong_file_saved_by_hand_is_renamed_never_deleted(
    drive, cached, caplog, content, pinned
):
    cached.parent.mkdir(parents=True)
    cached.write_bytes(content)
    drive.answers = [file_answer()]
    assert _fetch.archive(published(digest(ARCHIVE) if pinned else None)) == cached
    assert cached.read_bytes() == ARCHIVE
    [kept] = [path for path in cached.parent.iterdir() if path != cached]
    assert kept.read_bytes() == content and str(kept) in caplog.text


HALF, TOTAL = len(ARCHIVE) // 2, len(ARCHIVE)
FIRST_HALF = file_answer(ARCHIVE[:HALF], TOTAL)
REST = {"Content-Range": f"bytes {HALF}-{TOTAL - 1}/{TOTAL}"}
SECOND_HALF = file_answer(ARCHIVE[HALF:], status=206, **REST)


def test_a_broken_download_is_retried_from_where_it_stopped(drive, cached):
    drive.answers = [FIRST_HALF, SECOND_HALF]
    assert _fetch.archive(published()).read_bytes() == ARCHIVE
    assert drive.requests[1].headers["Range"] == f"bytes={HALF}-"


def test_an_interrupted_download_goes_on_in_the_next_run(drive, cached):
    drive.answers = [FIRST_HALF, KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        _fetch.archive(published())
    [part] = cached.parent.iterdir()
    assert part.read_bytes() == ARCHIVE[:HALF]
    drive.answers = [file_answer(), SECOND_HALF]
    assert _fetch.archive(published()).read_bytes() == ARCHIVE
    assert os.listdir(cached.parent) == [cached.name]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        *(
            (error("..."), ("no connection to Google Drive", error.__name__))
            for error in (
                *(requests.ConnectionError, requests.ReadTimeout),
                *(requests.exceptions.SSLError, requests.exceptions.ProxyError),
            )
        ),
        (page_answer(QUOTA), ("limit of downloads", "24 hours")),
        (page_answer("Sign in"), ("private or gone",)),
        (page_answer("Not found", 404), ("private or gone",)),
        (page_answer(""), ("private or gone",)),
        ((200, {}, b"please log in"), ("login page of this network",)),
        *((file_answer(b"", status=status), ()) for status in (403, 500, 503)),
    ],
)
def test_a_failed_download_says_what_to_do(drive, cached, answer, words):
    drive.answers = [answer]
    download_fails(cached, *words)


def test_transient_trouble_is_passed_over(drive, cached):
    drive.answers = [requests.ConnectionError("reset"), requests.ReadTimeout("slow"), file_answer()]
    assert _fetch.archive(published()).read_bytes() == ARCHIVE


def test_a_download_that_never_completes_keeps_its_part(drive, cached):
    drive.answers = [file_answer(ARCHIVE[:50], len(ARCHIVE))]
    message = download_fails(cached, "to start over, delete")
    [part] = cached.parent.iterdir()
    assert str(part) in message


def test_two_parts_are_told(drive, cached):
    cached.parent.mkdir(parents=True)
    for end in ("abcdefgh", "12345678"):
        Path(f"{cached}{end}.part").write_bytes(b"PK")
    drive.answers = [file_answer()]
    download_fails(cached, "abcdefgh.part", "12345678.part")
    assert len(os.listdir(cached.parent)) == 2


def test_a_cache_that_cannot_be_written(drive, cached, tmp_path):
    (tmp_path / "cache").write_bytes(b"a file where a folder must be")
    drive.answers = [file_answer()]
    refused(lambda: _fetch.archive(published()), tmp_path / "cache")


@pytest.mark.parametrize(
    "error", [gdown.DownloadError("a\nb"), ValueError("odd"), OSError(28, "full")]
)
def test_whatever_gdown_raises_is_one_sentence(drive, cached, monkeypatch, error):
    def fail(**_):
        raise error

    monkeypatch.setattr(gdown, "download", fail)
    download_fails(cached)


# ---- a local copy


def test_a_local_archive_or_folder_is_taken_as_it_is(tmp_path):
    (tmp_path / "copy.zip").write_bytes(ARCHIVE)
    for path in (tmp_path / "copy.zip", tmp_path):
        assert _fetch.archive(published(path=path)) == path
    assert _fetch.archive(published(digest(ARCHIVE), tmp_path / "copy.zip")).is_file()


def test_a_local_archive_of_another_hash_is_refused_and_stays(tmp_path):
    path = write(tmp_path, ARCHIVE)
    refused(lambda: _fetch.archive(published("0" * 64, path)), path, "0" * 64)
    assert path.read_bytes() == ARCHIVE
    refused(lambda: _fetch.archive(published(path=tmp_path / "gone")), "gone", "published.path")


# ---- unpacking


@pytest.mark.parametrize("pack", [zip_bytes, gzip_bytes, tar_bytes])
@pytest.mark.parametrize("inside", [INSIDE, NAME, f"./{NAME}"])
def test_a_checkpoint_is_found_wherever_the_archive_has_it(tmp_path, pack, inside):
    files = {"README": b"", inside: b"1", f"other_{NAME}": b"2", "baseline/h_mul_2_model.bin": b"3"}
    path = write(tmp_path, pack(files))
    assert read_checkpoint(path, NAME) == b"1"
    check_archive(path)


def test_a_checkpoint_must_be_there_just_once(tmp_path):
    write_set(tmp_path / "set", {INSIDE: b"1"})
    assert read_checkpoint(tmp_path, NAME) == b"1"
    refused(lambda: read_checkpoint(tmp_path, "teacher_model.bin"), "no teacher_model.bin", INSIDE)
    path = write(tmp_path, zip_bytes({f"a/{NAME}": b"1", f"b/{NAME}": b"2"}))
    refused(lambda: read_checkpoint(path, NAME), f"2 files {NAME}", path)
    refused(lambda: read_checkpoint(write(tmp_path, bytes(2000)), NAME), f"no {NAME}", "none")


SMALL = {"embed_dim": 4, "patch_size": 16, "num_blocks": 1, "num_classes": 2, **IMAGES}


@pytest.fixture(scope="module")
def small_archives(tmp_path_factory):
    """Return a .zip and a .tar.gz with the checkpoint of a small LERP-PSA network."""
    path = tmp_path_factory.mktemp("small") / "model.bin"
    save_published(ResMLP("lerp_psa", 3, {"grid_size": 4}, **SMALL), path)
    files = {INSIDE: path.read_bytes(), "output/": b"", "LICENSE": b"MIT"}
    return zip_bytes(files), tar_bytes({INSIDE: path.read_bytes(), "LICENSE": b"MIT"})


@settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_damage_is_refused_or_harmless(tmp_path, small_archives, data):
    """What is read is the published network, or PipelineError: nothing else comes out."""
    content = bytearray(data.draw(st.sampled_from(small_archives)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content)))
        cut = data.draw(st.sampled_from([0, 1, 4, 512]))
        content[at : at + cut] = data.draw(st.binary(max_size=8))
    if data.draw(st.booleans()) and content[:2] != b"PK":
        content = gzip.compress(content, 1)
    path = write(tmp_path, bytes(content))
    network = ResMLP("lerp_psa", 3, {"grid_size": 4}, **SMALL)
    try:
        load_published_into(network, path / NAME, read_checkpoint(path, NAME))
    except PipelineError as error:
        assert "\n" not in str(error)
    else:
        assert all(tensor.isfinite().all() for tensor in network.state_dict().values())


# ---- the stage


@pytest.fixture
def pipeline(tmp_path, monkeypatch):
    """Go to a pipeline folder with images and an archive of small published networks."""
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
    split = Split(images, np.arange(20) % 10)
    names = tuple(map(str, range(10)))
    Dataset(split, split, split, names, np.full(3, 0.5), np.ones(3)).save("data/dataset.npz")
    params = read_yaml(ROOT / "demo" / "params.yaml")
    params["network"] = {"patch_size": 16, "embed_dim": 4, "num_blocks": 2}
    params["teacher"]["hidden_dim"] = 16
    for name, row in params["variants"].items():
        row["hidden_dim"] = {"relu_h96": 8, "bspline_h96": 4, "lerp_psa_h96": 2}[name]
        row["weights"] = "published"
    names = ["teacher", *params["variants"]]
    params["weights"] = {"train": [], "published": ["teacher"]}
    params["published"]["path"] = "archive"
    Path("params.yaml").write_text(yaml.safe_dump(params))
    dataset = Dataset.load("data/dataset.npz")
    for name in names:
        torch.manual_seed(len(name))
        save_published(build_network(load_params(), name, dataset), Path("files") / FILES[name])
    return tmp_path


FILES = {
    "teacher": "teacher_model.bin",
    "relu_h96": "baseline/h_mul_2_model.bin",
    "bspline_h96": "bspline_65_1e-5/h_mul_1_model.bin",
    "lerp_psa_h96": "lerp_psa_64/h_div_2_model.bin",
}


@pytest.mark.parametrize("pack", [zip_bytes, gzip_bytes, None], ids=["zip", "tar.gz", "folder"])
def test_every_network_gets_its_own_weights(pipeline, pack):
    source = Path("archive")
    if pack is None:
        Path("files").rename(source)
    else:
        source.write_bytes(pack({f: Path("files", f).read_bytes() for f in FILES.values()}))
    for name in FILES:
        if name == "teacher":
            fetch_checkpoints.main()
        else:
            distill.main(name)
        state = read_state(f"data/{name}/float.pt")
        torch.manual_seed(len(name))
        drawn = build_network(load_params(), name, Dataset.load("data/dataset.npz")).state_dict()
        assert all(torch.equal(state[key], tensor) for key, tensor in drawn.items())
        assert Path(f"data/history/float/{name}.csv").read_text() == "epoch\n"
        unknown = dict.fromkeys(("seconds", "processor", "threads", "torch"))
        cost = json.loads(Path(f"data/history/float/{name}.json").read_text())
        assert cost == {"epochs": 0, **unknown}


def test_a_network_that_is_made_here_is_not_fetched(pipeline):
    params = read_yaml("params.yaml")
    params["weights"] = {"train": ["teacher"], "published": []}
    del params["variants"]["relu_h96"]["weights"]
    Path("params.yaml").write_text(yaml.safe_dump(params))
    refused(fetch_checkpoints.main, "weights.published", "weights.train")
    # A student is distilled, which asks for a teacher first.
    refused(lambda: distill.main("relu_h96"), "data/teacher/float.pt")
    assert not Path("data/relu_h96").exists() and not Path("data/teacher").exists()


def test_a_file_of_another_network_is_refused(pipeline):
    source = Path("files") / FILES["relu_h96"]
    source.write_bytes((Path("files") / FILES["bspline_h96"]).read_bytes())
    Path("files").rename("archive")
    refused(lambda: distill.main("relu_h96"), "archive/baseline", "params.yaml")
    assert not Path("data/relu_h96").exists()
