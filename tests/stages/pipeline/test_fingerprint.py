"""What counts as a change of code: each rule shown on a small project that a test edits."""

import hashlib

import pytest

from stages.pipeline.fingerprint import Code, cpp_meaning, fingerprint

FILES = {
    "stages/run.py": (
        '"""A stage."""\n'
        "from models import numbers\n"
        "from models.tables import SIZE, table\n\n\n"
        "def main():\n"
        '    """Run."""\n'
        "    return numbers.double(table(SIZE))\n"
    ),
    "models/__init__.py": "",
    "models/numbers.py": (
        "FACTOR = 2\n\n\n"
        "def double(x):\n    return FACTOR * x\n\n\n"
        "def triple(x):\n    return 3 * x\n"
    ),
    "models/tables.py": (
        "from models import base\n\nSIZE = 4\nOTHER = 5\n\n\n"
        "class Table(base.Base):\n    rows = 1\n\n\n"
        "def table(size: 'Size') -> Table:\n"
        "    from models.late import fill\n\n"
        "    return fill(Table(), size)\n\n\n"
        "class Size:\n    bits = 8\n"
    ),
    "models/base.py": "import models.registered\n\n\nclass Base:\n    kind = 0\n",
    "models/late.py": "def fill(table, size):\n    return table\n\n\ndef unused():\n    return 1\n",
    "models/registered.py": (
        "HOOKS = []\n\n\ndef register(f):\n    HOOKS.append(f)\n    return f\n\n\n"
        "@register\ndef hook():\n    return 1\n\n\nregister(len)\n"
    ),
    "models/other.py": "VALUE = 1\n",
    "models/room/__init__.py": "",
    "models/room/entry.py": "from .deep import level\nfrom ..base import Base\n\nUSED = level\n",
    "models/room/deep/__init__.py": "from .level import LEVEL as level\n",
    "models/room/deep/level.py": "from ...other import VALUE\n\nLEVEL = VALUE\n",
}


@pytest.fixture
def project(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def print_of(project):
    return fingerprint(Code(project).statements(["stages.run"]))


def edited(project, file, old, new):
    path = project / file
    text = path.read_text()
    assert text.count(old) >= 1, (file, old)
    path.write_text(text.replace(old, new, 1))


UNSEEN = {
    "comment": ("models/numbers.py", "FACTOR = 2", "FACTOR = 2  # two"),
    "docstring": ("stages/run.py", '"""Run."""', '"""Run it\n\n    at once.\n    """'),
    "docstring of the script": ("stages/run.py", '"""A stage."""', '"""Another sentence."""'),
    "no docstring": ("stages/run.py", '    """Run."""\n', ""),
    "line breaks": ("models/numbers.py", "return FACTOR * x", "return (\n        FACTOR\n * x\n)"),
    "quotes": ("models/tables.py", "'Size'", '"Size"'),
    "function that is not used": ("models/numbers.py", "3 * x", "4 * x"),
    "constant that is not used": ("models/tables.py", "OTHER = 5", "OTHER = 6"),
    "new function": ("models/numbers.py", "FACTOR = 2", "def new():\n    pass\n\n\nFACTOR = 2"),
    "module that is not imported": ("models/other.py", "1", "2"),
    "order": (
        "models/numbers.py",
        FILES["models/numbers.py"],
        "def triple(x):\n    return 3 * x\n\n\n"
        "def double(x):\n    return FACTOR * x\n\n\nFACTOR = 2\n",
    ),
}
SEEN = {
    "script": ("stages/run.py", "double", "triple"),
    "function": ("models/numbers.py", "FACTOR * x", "x * FACTOR"),
    "constant of a function": ("models/numbers.py", "FACTOR = 2", "FACTOR = 2.0"),
    "imported constant": ("models/tables.py", "SIZE = 4", "SIZE = 8"),
    "class": ("models/tables.py", "rows = 1", "rows = 2"),
    "base class": ("models/base.py", "kind = 0", "kind = 1"),
    "class in an annotation in quotes": ("models/tables.py", "bits = 8", "bits = 4"),
    "import inside a function": ("models/late.py", "return table", "return size"),
    "call at import": ("models/registered.py", "register(len)", "register(max)"),
    "registered by a decorator": ("models/registered.py", "    return 1", "    return 2"),
    "new statement that acts": (
        "models/base.py",
        "class",
        "models.registered.HOOKS.clear()\nclass",
    ),
    "default argument": ("models/numbers.py", "def double(x)", "def double(x=1)"),
}


@pytest.mark.parametrize("edit", UNSEEN.values(), ids=UNSEEN)
def test_what_changes_no_result_does_not_count(project, edit):
    before = print_of(project)
    edited(project, *edit)
    assert print_of(project) == before


@pytest.mark.parametrize("edit", SEEN.values(), ids=SEEN)
def test_what_can_change_a_result_counts(project, edit):
    before = print_of(project)
    edited(project, *edit)
    assert print_of(project) != before


def test_nothing_is_followed_into_what_is_opaque(project):
    def opaque():
        return fingerprint(Code(project).statements(["stages.run"], ["models.tables"]))

    before = opaque()
    edited(project, "models/tables.py", "SIZE = 4", "SIZE = 8")
    edited(project, "models/base.py", "kind = 0", "kind = 1")
    assert opaque() == before
    edited(project, "models/numbers.py", "FACTOR = 2", "FACTOR = 3")
    assert opaque() != before


def test_a_function_may_import_two_modules_under_one_name(project):
    (project / "stages/run.py").write_text(
        "def one():\n    from models import numbers as m\n    return m.double\n\n\n"
        "def two():\n    from models import late as m\n    return m.fill\n"
    )
    for edit in (SEEN["function"], SEEN["import inside a function"]):
        before = print_of(project)
        edited(project, *edit)
        assert print_of(project) != before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("models/room/deep/level.py", "LEVEL = VALUE", "LEVEL = -VALUE"),
        ("models/base.py", "kind = 0", "kind = 1"),
        ("models/other.py", "VALUE = 1", "VALUE = 2"),
    ],
)
def test_relative_imports_are_followed(project, file, old, new):
    (project / "stages/run.py").write_text(
        "from models.room.entry import USED, Base\n\nprint(USED, Base)\n"
    )
    before = print_of(project)
    edited(project, file, old, new)
    assert print_of(project) != before


def test_a_module_that_is_passed_on_counts_whole(project):
    (project / "stages/run.py").write_text("from models import numbers\n\nKERNELS = [numbers]\n")
    before = print_of(project)
    edited(project, "models/numbers.py", "3 * x", "4 * x")
    assert print_of(project) != before


def test_the_fingerprint_is_the_same_in_every_version_of_python(project):
    """The text of a statement is spelt out here: no field that a version adds may enter it."""
    (text,) = Code(project).statements(["models.other"])
    assert text == ("models.other: Assign(targets=[Name(id='VALUE')],value=Constant(value=1))")
    assert fingerprint([text]) == hashlib.sha256(text.encode()).hexdigest()[:16]


CPP = '#include "a.hpp"  // why\n\nint f(int x) {\n  /* long\n  */ return x + 1;\n}\n'


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  // why", ""),
        ("/* long\n  */", "// short\n"),
        ("int f(int x) {\n", "int f(\n    int x)\n{"),
        ("x + 1", "x+1"),
        ("\n\n", "\n"),
    ],
)
def test_comments_and_layout_of_cpp_do_not_count(old, new):
    assert old in CPP
    assert cpp_meaning(CPP.replace(old, new)) == cpp_meaning(CPP)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x + 1", "x + 2"),
        ("int x", "intx"),
        ('"a.hpp"', '"b.hpp"'),
        ("return x", 'puts("// no comment"); return x'),
        ("int f", "#pragma HLS INLINE\nint f"),
    ],
)
def test_tokens_of_cpp_count(old, new):
    assert old in CPP
    assert cpp_meaning(CPP.replace(old, new)) != cpp_meaning(CPP)


def test_a_comment_mark_in_a_string_is_no_comment():
    assert cpp_meaning('f("// a");') != cpp_meaning('f("// b");')
    assert cpp_meaning("f('\"'); // a") == cpp_meaning("f('\"');")
