"""Temporary files and folders: those of the living stay, those of the dead go."""

import os

import pytest

from models.files.atomic import replace_on_success
from models.files.temporary import is_temporary, temporary_file, temporary_folder

DEAD = ".relu_h96-abcd1234.part.json"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_leftover_of_a_killed_process_goes_when_the_next_one_writes_there(tmp_path):
    (tmp_path / DEAD).write_text("{")
    with replace_on_success(tmp_path / "another.json") as temporary:
        temporary.write_text("{}")
    assert names(tmp_path) == ["another.json"]


def test_the_file_of_a_living_process_stays(tmp_path):
    with temporary_file(tmp_path / "a.json") as first:
        with temporary_file(tmp_path / "a.json") as second:
            assert first.exists() and second.exists()
        assert first.exists()
    assert names(tmp_path) == []


def test_a_folder_goes_with_its_content_and_a_living_one_stays(tmp_path):
    dead = tmp_path / ".csim-abcd1234.part"
    dead.mkdir()
    (dead / "testbench").write_text("")
    with temporary_folder("csim", tmp_path) as living:
        assert names(tmp_path) == [living.name]
        (living / "program.o").write_text("")
        with temporary_folder("csim", tmp_path):
            assert living.exists()
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "name", [".hidden", ".a-abcd1234.json", "a-abcd1234.part", ".a-ABCD1234.part", "part"]
)
def test_files_of_others_stay(name, tmp_path):
    (tmp_path / name).write_text("mine")
    with temporary_folder("x", tmp_path):
        pass
    assert names(tmp_path) == [name] and not is_temporary(name)


def test_a_link_with_the_name_of_a_leftover_leads_to_no_loss(tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("kept")
    here = tmp_path / "here"
    here.mkdir()
    (here / ".csim-abcd1234.part").symlink_to(tmp_path / "precious")
    with temporary_folder("csim", here):
        pass
    assert (tmp_path / "precious" / "file").read_text() == "kept"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_stays(tmp_path):
    (tmp_path / DEAD).write_text("theirs")
    os.chown(tmp_path / DEAD, 12345, 12345)
    with temporary_file(tmp_path / "x"):
        pass
    assert names(tmp_path) == [DEAD]


def test_a_name_of_the_longest_kind_can_be_written(tmp_path):
    path = tmp_path / ("x" * 250 + ".pt")
    with replace_on_success(path) as temporary:
        temporary.write_text("done")
    assert path.read_text() == "done"


@pytest.mark.parametrize(
    ("stem", "suffix"), [("relu_h96", ".json"), ("a.b", ""), ("x" * 300, ".npz"), ("", ".x")]
)
def test_every_temporary_name_is_known_again(stem, suffix, tmp_path):
    with temporary_file(tmp_path / f"{stem or 'n'}{suffix}") as path:
        assert is_temporary(str(path))
