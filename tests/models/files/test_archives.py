"""Archives and folders that nobody has to trust, alone and through each of their users."""

import gzip
import os
import socket
import stat
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from models.files.archives import Limits, members
from models.files.errors import PipelineError
from stages.published import archive as checkpoints
from stages.sources import registry as images
from tests.support.archives import KINDS, PACKERS, tar_bytes, tree, write_set, zip_bytes

NAME = "baseline/h_mul_1_model.bin"
FILES = {f"output/{NAME}": b"weights" * 500, **tree()}  # every user finds here what it looks for
SMALL = Limits(members=20, member_bytes=1 << 15, total_bytes=1 << 17)
USERS = {
    "images": lambda path: images.read_images("folder", str(path)),
    "read_checkpoint": lambda path: checkpoints.read_checkpoint(path, NAME),
    "check_archive": checkpoints.check_archive,
}
DAMAGED = "damaged, cut short or no .tar.gz, .tar or .zip archive"


@pytest.fixture(params=USERS)
def read(request, monkeypatch):
    """Return each user in turn, with small limits."""
    monkeypatch.delenv("PIPELINE_DATA", raising=False)
    for module in (images, checkpoints):
        monkeypatch.setattr(module, "LIMITS", SMALL)
    return USERS[request.param]


def refused(read, path: Path, *words) -> None:
    """Check that `path` is refused in one sentence with these words, and nothing is unpacked."""
    with pytest.raises(PipelineError) as caught:
        read(path)
    message = str(caught.value)
    assert "\n" not in message
    for word in (str(path), *words):
        assert word in message, message
    assert os.listdir(path.parent) == [path.name]


def tar_with(kind: bytes) -> bytes:
    member = tarfile.TarInfo("train/cat/link.png")
    member.type, member.linkname = kind, "/etc/passwd"
    return tar_bytes({**FILES, member: b""})


def zip_with(kind: int) -> bytes:
    info = zipfile.ZipInfo("train/cat/link.png")
    info.external_attr = (kind | 0o777) << 16
    return zip_bytes({**FILES, info: "/etc/passwd"})


def encrypted() -> bytes:
    content = zip_bytes(FILES).replace(b"PK\x03\x04\x14\x00\x00", b"PK\x03\x04\x14\x00\x01")
    return content.replace(b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01")


def zip_that_lies(change: int) -> bytes:
    """Return a .zip whose directory gives every file so many bytes more than it has."""
    content = bytearray(zip_bytes(FILES))
    at = content.find(b"PK\x01\x02")
    while at >= 0:
        (size,) = struct.unpack_from("<I", content, at + 24)
        struct.pack_into("<I", content, at + 24, size + change)
        at = content.find(b"PK\x01\x02", at + 1)
    return bytes(content)


TAR = tar_bytes(FILES)
FIRST_END = TAR.index(b"train/cat/a.png")  # where the second file begins
LAST_END = len(TAR.rstrip(b"\0")) // 512 * 512 + 512
LINKS = {
    "symlink": tar_with(tarfile.SYMTYPE),
    "hard link": tar_with(tarfile.LNKTYPE),
    "fifo": tar_with(tarfile.FIFOTYPE),
    "device": tar_with(tarfile.CHRTYPE),
    "zip symlink": zip_with(stat.S_IFLNK),
    "zip fifo": zip_with(stat.S_IFIFO),
}


def tar_note(kind: bytes, size: int) -> bytes:
    """Return a .tar that begins with a long name, or a PAX header, of so many zeros."""
    note = tarfile.TarInfo("note")
    note.type, note.size = kind, size
    return note.tobuf(tarfile.GNU_FORMAT) + bytes(size) + TAR


HOSTILE = {
    **{
        f"{kind}: {name}": (pack({**FILES, name: b"x"}), repr(name), "leads out of it")
        for kind, pack in PACKERS.items()
        for name in (
            "../a.png",
            "/a.png",
            "a/../../b",
            "..\\a",
            "train\\cat\\x.png",
            "C:/a.png",
            "a\nb",
        )
    },
    **{
        f"{kind}: {what}": (pack({**FILES, **more}), *words)
        for kind, pack in PACKERS.items()
        for what, more, *words in (
            ("many", {f"{number}.txt": b"" for number in range(15)}, "more than 20 files"),
            (
                "a large file",
                dict.fromkeys((f"output/{NAME}", "train/cat/a.png"), bytes((1 << 15) + 1)),
                "32769 bytes",
            ),
            (
                "large together",
                {f"{number}.txt": bytes(1 << 15) for number in range(4)},
                "unpacks to more than 131072 bytes",
            ),
        )
    },
    **{
        f"a note of {kind!r}": (gzip.compress(tar_note(kind, 3 << 20)), "more than a megabyte")
        for kind in (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE)
    },
    "a sparse file": (tar_with(tarfile.GNUTYPE_SPARSE), "sparse"),
    "gzip bomb": (gzip.compress(TAR + bytes(1 << 24)), "unpacks to more than 131072 bytes"),
    "web page": (b"\n<!DOCTYPE html><title>Google Drive</title>", "web page"),
    **{
        f"no archive: {content[:5]}": (content, DAMAGED)
        for content in (b"", b"PK", b"PK\3\4", b"\x1f\x8b", b"text" * 1000)
    },
    "encrypted": (encrypted(), "encrypted"),
    "a zip with smaller sizes": (zip_that_lies(-1), DAMAGED, "Bad CRC"),
    "a zip with larger sizes": (zip_that_lies(+1), DAMAGED, "bytes it should have"),
    "changed bytes in a zip": (
        zip_bytes(FILES, (), zipfile.ZIP_STORED).replace(b"sw", b"ws").replace(b"IHDR", b"IHdR"),
        *(DAMAGED, "Bad CRC"),
    ),
    "a changed bit in a gzip": (gzip.compress(TAR[:900] + b"!" + TAR[901:])[:-8] + bytes(8), "CRC"),
    "a changed header": (TAR[: FIRST_END + 5] + b"!" + TAR[FIRST_END + 6 :], DAMAGED),
    "a tar cut between files": (TAR[:FIRST_END], DAMAGED),
    "a tar without its end": (TAR[:LAST_END], DAMAGED),
    "a gzip cut between files": (gzip.compress(TAR[:LAST_END])[:-8], DAMAGED),
    "a gzip of a tar without its end": (gzip.compress(TAR[:LAST_END]), DAMAGED),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_or_damaged_archive_is_refused_by_every_user(tmp_path, read, case):
    content, *words = HOSTILE[case]
    path = tmp_path / "archive"
    path.write_bytes(content)
    refused(read, path, *words)


@pytest.mark.parametrize("case", LINKS)
def test_links_and_special_files_of_an_archive_are_passed_over_and_named(
    tmp_path, read, case, caplog
):
    """As in a folder. Nothing behind them is read, and the images beside them are."""
    path = tmp_path / "archive"
    path.write_bytes(LINKS[case])
    read(path)
    message = next(record.getMessage() for record in caplog.records if "link" in record.message)
    assert f"{path}: skipped 1 links or special files: 'train/cat/link.png'" in message
    assert "tar -h" in message
    names = [member.name for member in members(path, SMALL)]
    assert "train/cat/link.png" not in names and "train/cat/a.png" in names


@pytest.mark.parametrize("name", KINDS[1:])
def test_an_archive_is_refused_wherever_it_is_cut(tmp_path, read, name):
    path = write_set(tmp_path / name, FILES)
    read(path)
    whole = path.read_bytes()
    end = LAST_END + 1023 if name == "data.tar" else len(whole)
    for cut in sorted({1, 3, 100, *range(512, end, 512), *range(5000, end, 997), end - 1}):
        path.write_bytes(whole[:cut])
        refused(read, path, "cannot be read to its end")


@pytest.mark.parametrize("name", KINDS)
def test_members_have_their_paths_sizes_and_contents(tmp_path, name):
    files = {"./b/x": b"12345", "b/y": b"", ".hidden/z": b"1", "__MACOSX/b/x": b"1", "a": b"123"}
    path = write_set(tmp_path / name, files, folders=["empty"])
    found = [(m.name, (m.is_folder, m.size, m.content())) for m in members(path, SMALL)]
    files = {"b/x": (False, 5, b"12345"), "b/y": (False, 0, b""), "a": (False, 3, b"123")}
    folders = dict.fromkeys(("empty", "b"), (True, 0, b""))
    assert dict(found) == {**files, **folders}
    names = [name for name, _ in found]
    assert len(names) == 5 and names.index("b") < min(names.index("b/x"), names.index("b/y"))


@pytest.mark.parametrize("name", KINDS)
def test_the_folder_of_a_hidden_file_is_a_folder(tmp_path, name):
    path = write_set(tmp_path / name, {"train/cat/.DS_Store": b"1", "train/dog/.git/config": b"1"})
    found = [(member.name, member.is_folder) for member in members(path, SMALL)]
    assert sorted(found) == [("train", True), ("train/cat", True), ("train/dog", True)]


@pytest.mark.parametrize("name", KINDS[1:])
def test_an_archive_at_its_limits_is_read(tmp_path, name):
    path = write_set(tmp_path / name, {"a": bytes(10), "b": bytes(10)})
    total = 20 if name == "data.zip" else len(tar_bytes({"a": bytes(10), "b": bytes(10)}))
    exact = Limits(members=2, member_bytes=10, total_bytes=total)
    assert [member.content() for member in members(path, exact)] == [bytes(10)] * 2
    for limits in (Limits(1, 10, total), Limits(2, 9, total), Limits(2, 10, total - 1)):
        refused(lambda path, limits=limits: [m.content() for m in members(path, limits)], path)


def test_a_large_file_in_a_folder_is_refused_only_where_it_is_read(tmp_path):
    path = write_set(tmp_path / "set", {"large": bytes(11)})
    [member] = members(path, Limits(members=0, member_bytes=10, total_bytes=0))
    with pytest.raises(PipelineError, match="'large' of 11 bytes"):
        member.content()


def test_a_folder_is_left_only_by_no_link(tmp_path, caplog):
    """Links inside it are followed; those that lead out, in circles or nowhere are counted."""
    write_set(tmp_path / "outside", {"secret": b"1"})
    root = write_set(tmp_path / "set", {"a/x": b"x", "b/y": b"y"})
    (root / "a" / "to_y").symlink_to("../b/y")
    (root / "c").symlink_to("b")
    assert [member.name for member in members(root, SMALL) if not member.is_folder] == [
        *("a/to_y", "a/x", "b/y", "c/y"),
    ]
    assert not caplog.records
    (root / "a" / "circle").symlink_to(root)
    (root / "c").unlink()
    (root / "a" / "to_b").symlink_to("../b")
    (root / "b" / "to_a").symlink_to("../a")
    (root / "a" / "nowhere").symlink_to("nothing")
    (root / "itself").symlink_to("itself")
    (root / "file_outside").symlink_to(tmp_path / "outside" / "secret")
    (root / "folder_outside").symlink_to("../outside")
    (root / ".hidden").symlink_to("../outside")
    os.mkfifo(root / "fifo")
    (root / "to_device").symlink_to("/dev/zero")
    (tmp_path / "link").symlink_to(root)  # the folder itself may be a link
    found = {member.name: member.content() for member in members(tmp_path / "link", SMALL)}
    assert {name: content for name, content in found.items() if content} == {
        **{"a/x": b"x", "a/to_y": b"y", "b/y": b"y"},
        **{"a/to_b/y": b"y", "b/to_a/x": b"x", "b/to_a/to_y": b"y"},
    }
    [record] = caplog.records
    message = record.getMessage()
    assert f"{tmp_path / 'link'}: skipped 11 links or special" in message and ", ..." in message
    # 7 of the folder, and behind a link: a/to_b/to_a; b/to_a/circle, to_b and nowhere


NOWHERE, OUT = "a link that leads nowhere", "a link that leads out of the folder"


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("nothing", NOWHERE),
        ("9.png", NOWHERE),  # itself
        ("/dev/zero", OUT),
        ("../../..", OUT),
        ("../..", "a link in a circle"),
        ("a pipe", "a special file"),
        ("a socket", "a special file"),
    ],
)
def test_what_is_passed_over_in_a_folder_is_named_with_its_reason(
    tmp_path, monkeypatch, caplog, target, words
):
    root = write_set(tmp_path / "set", tree())
    monkeypatch.chdir(root / "train/cat")  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as unix:
        if target == "a pipe":
            os.mkfifo("9.png")
        elif target == "a socket":
            unix.bind("9.png")
        else:
            os.symlink(target, "9.png")
    assert len([m for m in members(root, SMALL) if not m.is_folder]) == len(tree())
    [record] = caplog.records
    expected = f"skipped 1 links or special files: 'train/cat/9.png' ({words})"
    assert expected in record.getMessage()


def test_a_path_that_is_no_file_is_refused(tmp_path):
    """Nobody waits for what nobody writes, or reads without an end."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(PipelineError, match="is neither a file nor a folder"):
            list(members(path, SMALL))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_named(tmp_path):
    root = write_set(tmp_path / "set", {"a/x": b"1"})
    (root / "a/x").chmod(0)
    with pytest.raises(PipelineError, match=r"a/x' cannot be read \(Permission denied"):
        [member.content() for member in members(root, SMALL)]


def test_an_error_of_the_disk_is_not_called_damage(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise PermissionError(13, "Permission denied", str(tmp_path / "set/a"))

    write_set(tmp_path / "set", {"a/x": b"1"})
    monkeypatch.setattr(os, "scandir", fail)
    with pytest.raises(PipelineError) as caught:
        list(members(tmp_path / "set", SMALL))
    assert "set/a); mend its permissions" in str(caught.value)
    assert "archive" not in str(caught.value)
