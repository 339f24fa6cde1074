"""Errors of the system, of memory and of decoders: one sentence, which names the file."""

import csv
import errno
import json
import os
import zipfile

import pytest

from models.files.atomic import check_writable, replace_on_success
from models.files.system_errors import explained

NUMBERS = [
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT),
    *(errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.EIO, errno.ENXIO),
]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_system_error_names_the_file_in_one_sentence(number):
    text = explained(OSError(number, os.strerror(number), "data/x.pt"))
    assert "data/x.pt" in text and text.endswith(".") and "\n" not in text


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError("1000 requested and 500 written"), "500 written"),
        (OSError(errno.ENOSPC, "No space left on device", b"data/x.pt"), "data/x.pt"),
        (OSError(errno.EBADF, "Bad file descriptor", 3), "File 3"),
        (MemoryError(), "memory is not enough"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] not enough memory: 8 bytes"), "memory"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "invalid start byte"),
        (json.JSONDecodeError("Expecting value", "", 0), "Expecting value"),
        (csv.Error("line contains NUL"), "line contains NUL"),
        (zipfile.BadZipFile("File is not a zip file"), "not a zip file"),
    ],
)
def test_other_errors_that_a_user_can_mend(error, words):
    text = explained(error)
    assert words in text and text.endswith(".") and "\n" not in text


@pytest.mark.parametrize("error", [ZeroDivisionError(), ValueError("x"), RuntimeError("shape")])
def test_a_defect_of_ours_has_no_sentence(error):
    assert explained(error) is None


@pytest.fixture
def small_files():
    """Limit the size of files to 1,000 bytes, which stands for a full disk."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def save_text(path):
    path.write_text("x" * 5000)


def save_arrays(path):
    import numpy as np

    np.savez(path, a=np.zeros(5000))


def save_weights(path):
    import torch

    with path.open("wb") as file:
        torch.save({"a": torch.zeros(5000)}, file)


@pytest.mark.parametrize("save", [save_text, save_arrays, save_weights])
def test_a_full_disk_names_the_file_and_keeps_the_old_one(save, tmp_path, small_files):
    path = tmp_path / "float.npz"
    path.write_text("old")
    with pytest.raises(OSError) as caught, replace_on_success(path) as temporary:
        save(temporary)
    assert caught.value.filename == str(path) and caught.value.errno == errno.EFBIG
    assert explained(caught.value).startswith(f"{path} cannot be written")
    assert [file.name for file in tmp_path.iterdir()] == ["float.npz"]
    assert path.read_text() == "old"


def test_an_error_about_another_file_keeps_its_name(tmp_path):
    with (
        pytest.raises(FileNotFoundError) as caught,
        replace_on_success(tmp_path / "a") as temporary,
    ):
        temporary.write_bytes((tmp_path / "input").read_bytes())
    assert caught.value.filename == str(tmp_path / "input")


def test_a_place_that_can_be_written_stays_as_it_is(tmp_path):
    (tmp_path / "float.pt").write_text("old")
    check_writable(tmp_path / "float.pt", 3_000_000)
    assert [file.name for file in tmp_path.iterdir()] == ["float.pt"]
    assert (tmp_path / "float.pt").read_text() == "old"


def test_too_little_room_is_told_before(tmp_path, small_files):
    check_writable(tmp_path / "float.pt", 900)
    with pytest.raises(OSError) as caught:
        check_writable(tmp_path / "float.pt", 1100)
    assert caught.value.filename == str(tmp_path / "float.pt")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["file/float.pt", "folder", "x" * 300])
def test_what_cannot_be_a_file_is_told_before(name, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError) as caught:
        check_writable(tmp_path / name, 10)
    assert name.split("/")[0] in explained(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_told_before(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        check_writable(tmp_path / "float.pt", 10)
