"""Each rule catches a wrong pragma, and the pragmas of the repository follow all of them."""

import re
from pathlib import Path

import pytest

from hls.pragmas.__main__ import SOURCES, main
from hls.pragmas.directives import DIRECTIVES
from hls.pragmas.lint import lint, lint_folder
from hls.pragmas.source import all_names, pragmas
from tests.support.hls_stand_in import put
from tests.support.paths import ROOT

CODE = """\
struct Word { int lane[4]; };
constexpr int depth = 4;
template <int lanes, class Any>
void unit(const int (&w)[8][lanes], Any& in) {
  FUNCTION
  int a[8], b[8];
  Word word;
  STATEMENT
  for (int i = 0; i < 8; ++i) {
    LOOP
    a[i] = w[i][0];
    LATER
    if (i > 0) {
      BRANCH
      b[i] = 0;
    }
  }
}
void resmlp_top(int* memory, int count) {
  TOP
  memory[0] = count;
}
OUTSIDE
"""


def faults(**pragmas_at):
    """Return what is wrong with pragmas at the places of CODE, without file and line."""
    text = re.sub(
        r"^ *([A-Z]{3,})$",
        lambda place: "\n".join(f"#pragma {line}" for line in pragmas_at.get(place[1], ())),
        CODE,
        flags=re.MULTILINE,
    )
    return [line.split(": ", 1)[1] for line in lint(Path("x.hpp"), text)]


RIGHT = {
    "FUNCTION": [
        "HLS INLINE off",
        "HLS ARRAY_PARTITION variable = w cyclic factor = lanes dim = 2",
        "HLS array_reshape variable=w type=block factor=2",
        "HLS aggregate variable=w compact=bit",
    ],
    "STATEMENT": [
        "HLS ARRAY_PARTITION variable = word.lane complete",
        "HLS BIND_STORAGE variable = a type = ram_2p impl = lutram latency = 3",
        "HLS STREAM variable = b type = fifo depth = 2 * depth + 1",
        "HLS BIND_OP variable = a op = mul impl = dsp latency = 4",
        "HLS DISAGGREGATE variable = word",
    ],
    "LOOP": [
        "HLS PIPELINE II = 1 style = flp rewind",
        "HLS LOOP_FLATTEN off",
        "HLS LOOP_TRIPCOUNT min = 1 max = depth avg = 3",
        "HLS UNROLL factor = 2 skip_exit_check",
        "HLS DEPENDENCE variable = a inter RAW distance = 4 true",
        "HLS dependence variable=b type=intra dependent=false",
    ],
    "BRANCH": ["HLS LATENCY min = 1", "HLS OCCURRENCE cycle = 4"],
    "TOP": [
        "HLS INTERFACE m_axi port = memory bundle = data offset = slave depth = 8 \\\n"
        "    max_widen_bitwidth = 8 * depth",
        "HLS INTERFACE s_axilite port = count",
        "HLS INTERFACE mode=ap_ctrl_chain port=return",
    ],
    "OUTSIDE": ["once", "GCC diagnostic push"],
}


def test_right_pragmas_pass():
    assert faults(**RIGHT) == []


WRONG = [  # place, pragmas, of which the last one is wrong, and the sentence
    ("LOOP", ["HSL UNROLL"], "starts with 'HSL', but must start with HLS"),
    ("LOOP", ["HLS UNROL"], "'UNROL' is not a directive"),
    (
        "FUNCTION",
        ["HLS RESOURCE variable = w core = RAM"],
        "of older tools; UG1399 2025.2 has BIND",
    ),
    ("LOOP", ["HLS PIPELINE intervall = 1"], "PIPELINE has no option 'intervall'"),
    ("LOOP", ["HLS PIPELINE II = 1 II = 2"], "'ii' twice"),
    ("LOOP", ["HLS PIPELINE II ="], "has no value"),
    ("LOOP", ["HLS PIPELINE flp"], "PIPELINE does not take 'flp' here"),
    ("LOOP", ["HLS PIPELINE II = 1 style = fast"], "is 'fast', but must be one of stp, frp, flp"),
    ("LOOP", ["HLS PIPELINE II = 0"], "is 0, but must be at least 1"),
    ("LOOP", ["HLS PIPELINE II = 1.5"], "'1.5', but must be an integer"),
    ("LOOP", ["HLS PIPELINE II = dephts"], "names 'dephts', which no C++ file declares"),
    ("LOOP", ["HLS PIPELINE off II = 1"], "PIPELINE off takes no other"),
    ("LOOP", ["HLS UNROLL skip_exit_check"], "needs the option 'factor'"),
    ("LOOP", ["HLS LOOP_TRIPCOUNT"], "needs one of min, max, avg"),
    ("STATEMENT", ["HLS STREAM depth = 4"], "STREAM needs the option 'variable'"),
    ("FUNCTION", ["HLS STREAM variable = a depth = 4"], "'a', which is not declared above it"),
    ("LOOP", ["HLS DEPENDENCE variable = c inter false"], "'c', which is not declared above it"),
    ("STATEMENT", ["HLS ARRAY_PARTITION variable = word.lines"], "has a member of this name"),
    ("STATEMENT", ["HLS ARRAY_PARTITION variable = a cyclic"], "cyclic needs the option 'factor'"),
    ("STATEMENT", ["HLS ARRAY_RESHAPE variable = a factor = 2"], "complete takes no factor"),
    ("STATEMENT", ["HLS BIND_STORAGE variable = a type = ram"], "is 'ram', but must be one of"),
    ("STATEMENT", ["HLS BIND_STORAGE variable = a type = fifo impl = srll"], "is 'srll', but must"),
    (
        "STATEMENT",
        ["HLS BIND_STORAGE variable = a type = ram_1p impl = srl"],
        "no srl for a ram_1p",
    ),
    (
        "STATEMENT",
        ["HLS BIND_STORAGE variable = a type = rom_1p impl = bram_ecc"],
        "no bram_ecc for",
    ),
    ("STATEMENT", ["HLS BIND_STORAGE variable = a type = ram_1p latency = 4"], "is at most 3"),
    ("STATEMENT", ["HLS BIND_OP variable = a op = mul impl = maxdsp"], "no maxdsp for integers"),
    ("STATEMENT", ["HLS BIND_OP variable = a op = add latency = 5"], "is at most 4"),
    ("LOOP", ["HLS DEPENDENCE variable = a inter"], "needs the option 'dependent'"),
    ("LOOP", ["HLS DEPENDENCE inter false"], "needs one of variable, class"),
    ("LOOP", ["HLS DEPENDENCE variable = a array inter false"], "a variable or a class, not both"),
    ("LOOP", ["HLS DEPENDENCE variable = word.lane inter false"], "an element of a struct"),
    ("LOOP", ["HLS DEPENDENCE variable = a inter distance = 2 false"], "a distance only if"),
    ("LOOP", ["HLS DEPENDENCE variable = a intra RAW true"], "neither distance nor direction"),
    ("OUTSIDE", ["HLS INLINE"], "INLINE stands outside of a function"),
    ("LOOP", ["HLS INLINE"], "INLINE must stand directly in the body of a function"),
    ("STATEMENT", ["HLS UNROLL"], "UNROLL must stand directly in the body of a loop"),
    ("BRANCH", ["HLS PIPELINE II = 1"], "must stand directly in the body of a function or the"),
    ("LATER", ["HLS PIPELINE II = 1"], "before the first statement of its block"),
    ("FUNCTION", ["HLS INTERFACE axis port = in"], "for a top function, and unit is none"),
    ("TOP", ["HLS INTERFACE m_axi port = memori"], "'memori', which is not an argument"),
    ("TOP", ["HLS INTERFACE m_axi port = return"], "m_axi is not for the port return"),
    ("TOP", ["HLS INTERFACE ap_ctrl_none port = count"], "ap_ctrl_none is for the port return"),
    ("TOP", ["HLS INTERFACE axis port = memory max_widen_bitwidth = 8"], "axis has no option"),
    (
        "TOP",
        ["HLS INTERFACE m_axi port = memory offset = slaves"],
        "off, direct, slave, not slaves",
    ),
    (
        "TOP",
        ["HLS BIND_STORAGE variable = memory type = ram_1p"],
        "bound by storage_type of INTERFACE",
    ),
    (
        "TOP",
        ["HLS INTERFACE m_axi port = memory", "HLS ARRAY_PARTITION variable = memory"],
        "cannot change 'memory', a port of m_axi",
    ),
    ("LOOP", ["HLS UNROLL", "HLS PIPELINE"], "PIPELINE stands beside UNROLL"),
    ("FUNCTION", ["HLS INLINE", "HLS DATAFLOW"], "DATAFLOW stands beside INLINE"),
    ("FUNCTION", ["HLS PIPELINE", "HLS DATAFLOW"], "DATAFLOW stands beside PIPELINE"),
    ("LOOP", ["HLS PIPELINE II = 1", "HLS PIPELINE II = 2"], "PIPELINE repeats one above it"),
    (
        "FUNCTION",
        ["HLS ARRAY_PARTITION variable = w", "HLS ARRAY_PARTITION variable = w block factor = 2"],
        "ARRAY_PARTITION repeats one above it",
    ),
]


@pytest.mark.parametrize(("place", "lines", "sentence"), WRONG)
def test_a_wrong_pragma_is_caught(place, lines, sentence):
    found = faults(**{place: lines})
    assert len(found) == 1 and sentence in found[0], found


def test_file_and_line_are_those_of_the_pragma():
    text = "void f() {\n  // #pragma HLS NOTHING\n  int a;\n#pragma HLS \\\n  NOTHING\n}\n"
    assert lint(Path("a/b.hpp"), text) == [
        "a/b.hpp:4: 'NOTHING' is not a directive of UG1399 2025.2."
    ]


def test_the_pragmas_of_the_repository_are_right():
    count, wrong = lint_folder(SOURCES)
    assert count > 100 and wrong == []


def mutants():
    """Yield (file, text with one option of one pragma renamed or one variable misspelt)."""
    for path in sorted(SOURCES.rglob("*.hpp")):
        text = path.read_text()
        for found in re.finditer(r"#pragma HLS (\w+)|\b(variable|port) = (\w+)", text):
            word = 1 if found[1] else 3
            yield path, f"{text[: found.start(word)]}x_{text[found.start(word) :]}"


def test_every_misspelt_directive_and_variable_of_the_repository_is_caught():
    names = set().union(*(all_names(path.read_text()) for path in SOURCES.rglob("*.[hc]pp")))
    seen = [path.name for path, text in mutants() if lint(path, text, names)]
    assert len(seen) == len(list(mutants())) > 150


def test_a_pragma_knows_its_function_and_loop():
    text = (SOURCES / "cpp/simd/processor.hpp").read_text()
    tripcounts = [p for p in pragmas(text) if p.words[1:2] == ("LOOP_TRIPCOUNT",)]
    assert [(p.function.name, p.scope.kind) for p in tripcounts] == [
        ("run", "loop"),
        ("run_step", "loop"),
    ]


def test_every_directive_is_checked_against_places_and_options_that_exist():
    assert len(DIRECTIVES) == 27  # the pragmas of UG1399 2025.2 without `cache` and `alias`
    for directive in DIRECTIVES.values():
        assert directive.places and {*directive.required, *directive.one_of} <= {*directive.options}


def test_the_command_is_part_of_lint_and_its_status_says_whether_all_is_right(
    capsys, tmp_path, monkeypatch
):
    assert "-m hls.pragmas" in (ROOT / "Makefile").read_text()
    assert main() == 0 and re.fullmatch(r"\d+ pragmas follow .*\.\n", capsys.readouterr().out)
    put(tmp_path / "a.hpp", "#pragma HLS UNROL\n")
    monkeypatch.setattr("hls.pragmas.__main__.SOURCES", tmp_path)
    assert main() == 1 and "a.hpp:1: 'UNROL' is not a directive" in capsys.readouterr().out
