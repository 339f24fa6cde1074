"""A file or a folder is written completely or not at all."""

import os

import pytest

from models.files.atomic import replace_folder, replace_on_success


@pytest.fixture
def umask():
    """Return a function that sets the umask until the test ends."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("kind", [str, lambda path: path], ids=["str", "Path"])
def test_a_new_file_appears_with_its_parent_folders(tmp_path, kind):
    path = tmp_path / "a" / "b" / "metrics.json"
    with replace_on_success(kind(path)) as temporary:
        temporary.write_text("done")
        assert not path.exists()
    assert path.read_text() == "done"
    assert names(path.parent) == ["metrics.json"]


def test_an_existing_file_is_replaced_at_the_end(tmp_path):
    path = tmp_path / "weights.pt"
    path.write_bytes(b"old")
    with replace_on_success(path) as temporary:
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["weights.pt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("old", [None, b"old"])
def test_a_failure_keeps_the_old_contents_and_leaves_nothing_behind(tmp_path, error, old):
    path = tmp_path / "weights.pt"
    if old is not None:
        path.write_bytes(old)
    with pytest.raises(error), replace_on_success(path) as temporary:
        temporary.write_bytes(b"half")
        raise error
    assert names(tmp_path) == ([] if old is None else ["weights.pt"])
    assert old is None or path.read_bytes() == old


def test_a_failing_replacement_leaves_nothing_behind(tmp_path):
    (tmp_path / "weights.pt").mkdir()
    with pytest.raises(OSError), replace_on_success(tmp_path / "weights.pt") as temporary:
        temporary.write_bytes(b"new")
    assert names(tmp_path) == ["weights.pt"]


def test_the_temporary_file_is_beside_the_target_with_its_suffix(tmp_path):
    path = tmp_path / "logits.npz"
    with replace_on_success(path) as temporary:
        assert temporary.parent == path.parent and temporary.suffix == ".npz"
        assert temporary.name.startswith(".")


def test_two_writers_of_one_path_do_not_meet(tmp_path):
    path = tmp_path / "x"
    with replace_on_success(path) as first, replace_on_success(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"  # the one that ends last
    assert names(tmp_path) == ["x"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_are_those_of_any_new_file_and_the_umask_stays(tmp_path, umask, mask, mode):
    umask(mask)
    with replace_on_success(tmp_path / "x"):
        pass
    assert (tmp_path / "x").stat().st_mode & 0o777 == mode
    assert umask(mask) == mask


def test_a_folder_is_replaced_with_all_that_is_in_it(tmp_path):
    folder = tmp_path / "a" / "rtl"
    for names_now in (["old.sv", "both.sv"], ["both.sv", "new.sv"]):
        with replace_folder(folder) as new:
            for name in names_now:
                (new / name).write_text(name)
        assert names(folder) == sorted(names_now)
    assert names(folder.parent) == ["rtl"]


def test_a_failure_keeps_the_old_folder_and_leaves_nothing_behind(tmp_path):
    folder = tmp_path / "rtl"
    folder.mkdir()
    (folder / "old.sv").write_text("old")
    with pytest.raises(KeyboardInterrupt), replace_folder(folder) as new:
        (new / "old.sv").write_text("half")
        raise KeyboardInterrupt
    assert names(tmp_path) == ["rtl"]
    assert (folder / "old.sv").read_text() == "old"
