"""The authors' archive: from Google Drive (faked below gdown), a cache or a local path; unpacking.

No test reaches the network: `Drive` stands in for the transport of `requests`.
"""

import gzip
import hashlib
import io
import json
import os
import stat
import tarfile
import zipfile
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
from stages import fetch_checkpoints
from stages.networks.resmlp import build_network
from stages.pipeline.dataset import Dataset, Split
from stages.pipeline.params import Published, load_params
from stages.published import archive as _checkpoint_archive
from stages.published import fetch as _fetch
from stages.published.archive import check_archive, read_checkpoint
from tests.support.images import IMAGES
from tests.support.paths import ROOT

DRIVE_ID = "1Z2Bja_5nlB2InSX0KuGOsZse4n6RAqaY"
URL = f"https://drive.google.com/file/d/{DRIVE_ID}/view"
NAME = "baseline/h_mul_1_model.bin"
INSIDE = f"output/cifar10/resmlp_layers_4_h_4_embed_96/{NAME}"
QUOTA = '<p class="uc-error-subcaption">Too many users have viewed or downloaded this file</p>'
WARNING = (
    '<form id="download-form" action="https://drive.usercontent.google.com/download">'
    '<input type="hidden" name="confirm" value="t"></form>'
)


def zip_bytes(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tar_bytes(files, mode="w:gz"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in files.items():
            member = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


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


def test_the_archive_is_downloaded_once_past_the_page_about_viruses(drive, cached, caplog):
    caplog.set_level("INFO")
    drive.answers = [page_answer(WARNING), file_answer()]
    assert _fetch.archive(published()) == cached
    assert cached.read_bytes() == ARCHIVE
    assert digest(ARCHIVE) in caplog.text and "published.sha256" in caplog.text
    assert [DRIVE_ID in drive.requests[0].url, len(drive.requests)] == [True, 2]
    assert _fetch.archive(published()) == cached
    assert len(drive.requests) == 2
    assert os.listdir(cached.parent) == [cached.name]


def test_the_users_cookies_are_left_alone(drive, cached, tmp_path):
    drive.answers = [file_answer()]
    _fetch.archive(published())
    assert not (tmp_path / "home").exists()


def test_a_pinned_archive_is_compared_and_not_told(drive, cached, caplog):
    caplog.set_level("INFO")
    drive.answers = [file_answer()]
    assert _fetch.archive(published(digest(ARCHIVE))) == cached
    assert "published.sha256" not in caplog.text


def test_a_tampered_download_is_renamed_and_told(drive, cached):
    drive.answers = [file_answer()]
    message = refused(lambda: _fetch.archive(published("0" * 64)), digest(ARCHIVE), "0" * 64, URL)
    [kept] = cached.parent.iterdir()
    assert kept.name != cached.name and str(kept) in message
    assert kept.read_bytes() == ARCHIVE


def test_a_file_saved_by_hand_needs_no_network(drive, cached):
    cached.parent.mkdir(parents=True)
    cached.write_bytes(ARCHIVE)
    drive.answers = [requests.ConnectionError("offline")]
    assert _fetch.archive(published(digest(ARCHIVE))) == cached
    assert not drive.requests


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


def test_a_broken_download_is_retried_from_where_it_stopped(drive, cached):
    half = len(ARCHIVE) // 2
    total = len(ARCHIVE)
    rest = {"Content-Range": f"bytes {half}-{total - 1}/{total}"}
    drive.answers = [
        file_answer(ARCHIVE[:half], total),
        file_answer(ARCHIVE[half:], status=206, **rest),
    ]
    assert _fetch.archive(published()).read_bytes() == ARCHIVE
    assert drive.requests[1].headers["Range"] == f"bytes={half}-"


def test_an_interrupted_download_goes_on_in_the_next_run(drive, cached):
    half, total = len(ARCHIVE) // 2, len(ARCHIVE)
    drive.answers = [file_answer(ARCHIVE[:half], total), KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        _fetch.archive(published())
    [part] = cached.parent.iterdir()
    assert part.read_bytes() == ARCHIVE[:half]
    rest = {"Content-Range": f"bytes {half}-{total - 1}/{total}"}
    drive.answers = [file_answer(), file_answer(ARCHIVE[half:], status=206, **rest)]
    assert _fetch.archive(published()).read_bytes() == ARCHIVE
    assert os.listdir(cached.parent) == [cached.name]


@pytest.mark.parametrize(
    "error",
    [
        requests.ConnectionError("Name or service not known"),
        requests.ReadTimeout("Read timed out"),
        requests.exceptions.SSLError("certificate verify failed"),
        requests.exceptions.ProxyError("Tunnel connection failed: 403 Forbidden"),
    ],
)
def test_offline(drive, cached, error):
    drive.answers = [error]
    download_fails(cached, "no connection to Google Drive", type(error).__name__)


def test_transient_trouble_is_passed_over(drive, cached):
    drive.answers = [requests.ConnectionError("reset"), requests.ReadTimeout("slow"), file_answer()]
    assert _fetch.archive(published()).read_bytes() == ARCHIVE


def test_the_limit_of_downloads(drive, cached):
    drive.answers = [page_answer(QUOTA)]
    download_fails(cached, "limit of downloads", "24 hours")


@pytest.mark.parametrize(("text", "status"), [("Sign in", 200), ("Not found", 404), ("", 200)])
def test_a_private_or_deleted_file(drive, cached, text, status):
    drive.answers = [page_answer(text, status)]
    download_fails(cached, "private or gone")


def test_the_page_of_another_network(drive, cached):
    drive.answers = [(200, {}, b"please log in")]
    download_fails(cached, "login page of this network")


@pytest.mark.parametrize("status", [403, 500, 503])
def test_a_refusal(drive, cached, status):
    drive.answers = [file_answer(b"", status=status)]
    download_fails(cached)


def test_a_download_that_never_completes_keeps_its_part(drive, cached):
    drive.answers = [file_answer(ARCHIVE[:50], len(ARCHIVE))]
    message = download_fails(cached, "to start anew, delete")
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
    (tmp_path / "copy.zip").write_bytes(ARCHIVE)
    refused(
        lambda: _fetch.archive(published("0" * 64, tmp_path / "copy.zip")), "copy.zip", "0" * 64
    )
    assert (tmp_path / "copy.zip").read_bytes() == ARCHIVE


def test_a_local_path_that_is_not_there(tmp_path):
    refused(lambda: _fetch.archive(published(path=tmp_path / "gone")), "gone", "published.path")


# ---- unpacking


def write(tmp_path, content, name="archive"):
    (tmp_path / name).write_bytes(content)
    return tmp_path / name


@pytest.mark.parametrize("pack", [zip_bytes, tar_bytes, lambda files: tar_bytes(files, "w")])
@pytest.mark.parametrize("inside", [INSIDE, NAME, f"./{NAME}"])
def test_a_checkpoint_is_found_wherever_the_archive_has_it(tmp_path, pack, inside):
    files = {"README": b"", inside: b"1", f"other_{NAME}": b"2", "baseline/h_mul_2_model.bin": b"3"}
    path = write(tmp_path, pack(files))
    assert read_checkpoint(path, NAME) == b"1"
    check_archive(path)


def test_a_checkpoint_is_found_in_a_folder(tmp_path):
    (tmp_path / INSIDE).parent.mkdir(parents=True)
    (tmp_path / INSIDE).write_bytes(b"1")
    assert read_checkpoint(tmp_path, NAME) == b"1"
    refused(lambda: read_checkpoint(tmp_path, "teacher_model.bin"), "no teacher_model.bin", INSIDE)


def test_two_of_one_name_are_refused(tmp_path):
    path = write(tmp_path, zip_bytes({f"a/{NAME}": b"1", f"b/{NAME}": b"2"}))
    refused(lambda: read_checkpoint(path, NAME), f"2 files {NAME}", path)


def link(kind):
    member = tarfile.TarInfo(INSIDE)
    member.type, member.linkname = kind, "/etc/passwd"
    return tar_bytes({member: b""})


def zip_link():
    info = zipfile.ZipInfo(INSIDE)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(info, "/etc/passwd")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [*map(link, (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE)), zip_link()],
    ids=["symlink", "hard link", "fifo", "device", "zip symlink"],
)
def test_links_and_devices_are_refused(tmp_path, content):
    path = write(tmp_path, content)
    for call in (lambda: read_checkpoint(path, NAME), lambda: check_archive(path)):
        refused(call, path, NAME, "neither a file nor a folder")


@pytest.mark.parametrize("pack", [zip_bytes, tar_bytes])
@pytest.mark.parametrize(
    "name", [f"../{NAME}", f"/{NAME}", f"a/../../{NAME}", f"..\\{NAME}", f"C:/{NAME}"]
)
def test_paths_that_lead_out_are_refused(tmp_path, pack, name):
    path = write(tmp_path, pack({name: b"1"}))
    refused(lambda: read_checkpoint(path, NAME), path, "leads out of the archive")
    assert os.listdir(tmp_path) == ["archive"]


@pytest.mark.parametrize("pack", [zip_bytes, tar_bytes])
def test_limits(tmp_path, monkeypatch, pack):
    monkeypatch.setattr(_checkpoint_archive, "MAX_MEMBERS", 3)
    monkeypatch.setattr(_checkpoint_archive, "MAX_FILE_BYTES", 1000)
    monkeypatch.setattr(_checkpoint_archive, "MAX_BYTES", 20_000)
    fits = write(tmp_path, pack({NAME: bytes(1000), "b": b"", "c": b""}))
    assert len(read_checkpoint(fits, NAME)) == 1000
    many = write(tmp_path, pack({NAME: b"1", "b": b"", "c": b"", "d": b""}))
    refused(lambda: read_checkpoint(many, NAME), "more than 3 files")
    large = write(tmp_path, pack({NAME: bytes(1001)}))
    refused(lambda: read_checkpoint(large, NAME), "1001 bytes")
    bomb = write(tmp_path, pack({NAME: b"1", "b": bytes(30_000)}))
    refused(lambda: read_checkpoint(bomb, NAME), "20000 bytes")


def test_a_gzip_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(_checkpoint_archive, "MAX_BYTES", 1 << 20)
    content = tar_bytes({NAME: b"1"}, "w") + bytes(1 << 24)
    path = write(tmp_path, gzip.compress(content))
    refused(lambda: check_archive(path), "unpacks to more than")


@pytest.mark.parametrize(
    "content", [b"", b"PK", b"PK\x03\x04", b"\x1f\x8b", b"garbage" * 100, bytes(2000)]
)
def test_what_is_no_archive_is_refused(tmp_path, content):
    path = write(tmp_path, content)
    refused(lambda: read_checkpoint(path, NAME), path)


def test_a_saved_web_page_is_told_apart(tmp_path):
    path = write(tmp_path, b"\n<!DOCTYPE html><title>Google Drive</title>")
    refused(lambda: read_checkpoint(path, NAME), "web page")


@pytest.mark.parametrize("pack", [zip_bytes, tar_bytes])
def test_a_truncated_archive_is_refused(tmp_path, pack):
    content = pack({INSIDE: os.urandom(3000), "last": os.urandom(500)})
    for size in range(0, len(content) - 1, 97):
        path = write(tmp_path, content[:size])
        refused(lambda path=path: check_archive(path), path)


SMALL = {"embed_dim": 4, "patch_size": 16, "num_blocks": 1, "num_classes": 2, **IMAGES}


@pytest.fixture(scope="module")
def small_archives(tmp_path_factory):
    """Return a .zip and a .tar.gz with the checkpoint of a small LERP-PSA network."""
    path = tmp_path_factory.mktemp("small") / "model.bin"
    save_published(ResMLP("lerp_psa", 3, {"grid_size": 4}, **SMALL), path)
    files = {INSIDE: path.read_bytes(), "output/": b"", "LICENSE": b"MIT"}
    return zip_bytes(files), tar_bytes({INSIDE: path.read_bytes(), "LICENSE": b"MIT"}, "w")


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
        file = io.BytesIO(read_checkpoint(path, NAME))
        load_published_into(network, path / NAME, file)
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
    params = yaml.safe_load((ROOT / "demo" / "params.yaml").read_text())
    params["network"] = {"patch_size": 16, "embed_dim": 4, "num_blocks": 2}
    params["teacher"]["hidden_dim"] = 16
    for name, row in params["variants"].items():
        row["network"]["hidden_dim"] = {"relu_h96": 8, "bspline_h96": 4, "lerp_psa_h96": 2}[name]
    names = ["teacher", *params["variants"]]
    params["weights"] = {"train": [], "distill": [], "published": names}
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


@pytest.mark.parametrize("pack", [zip_bytes, tar_bytes, None], ids=["zip", "tar.gz", "folder"])
def test_every_network_gets_its_own_weights(pipeline, pack):
    source = Path("archive")
    if pack is None:
        Path("files").rename(source)
    else:
        source.write_bytes(pack({f: Path("files", f).read_bytes() for f in FILES.values()}))
    for name in FILES:
        fetch_checkpoints.main(name)
        state = read_state(f"data/{name}/float.pt")
        torch.manual_seed(len(name))
        drawn = build_network(load_params(), name, Dataset.load("data/dataset.npz")).state_dict()
        assert all(torch.equal(state[key], tensor) for key, tensor in drawn.items())
        assert Path(f"data/history/float/{name}.csv").read_text() == "epoch\n"
        unknown = dict.fromkeys(("seconds", "processor", "threads", "torch"))
        cost = json.loads(Path(f"data/history/float/{name}.json").read_text())
        assert cost == {"epochs": 0, **unknown}


def test_a_network_that_is_made_here_is_not_fetched(pipeline):
    text = Path("params.yaml").read_text()
    assert "  published:\n  - teacher\n" in text
    Path("params.yaml").write_text(
        text.replace("  - relu_h96\n", "").replace("  distill: []\n", "  distill:\n  - relu_h96\n")
    )
    refused(lambda: fetch_checkpoints.main("relu_h96"), "weights.published", "weights.distill")
    assert not Path("data/relu_h96").exists()


def test_a_file_of_another_network_is_refused(pipeline):
    source = Path("files") / FILES["relu_h96"]
    source.write_bytes((Path("files") / FILES["bspline_h96"]).read_bytes())
    Path("files").rename("archive")
    refused(lambda: fetch_checkpoints.main("relu_h96"), "archive/baseline", "params.yaml")
    assert not Path("data/relu_h96").exists()
