"""Arrays out of C++ headers: what is written is read, and what is malformed is told by line."""

import re
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hls.headers.golden import golden_text
from hls.headers.network import config_text, params_text
from hls.headers.parser import HEADER_FILES, parse_arrays, read_arrays
from hls.headers.reader import read_network, read_samples
from hls.headers.text import array_text as our_array_text
from models.files.errors import PipelineError
from models.integer import resmlp as int_resmlp
from models.integer.params import IntResMlp, IntTable, published_name
from tests.support.published_headers import (
    array_text,
    header_text,
    network_arrays,
    sample_arrays,
    with_published_tables,
    write_headers,
)


def parse(text):
    return {name: array.values.tolist() for name, array in parse_arrays(text, "a.h").items()}


def refused(call, *words):
    with pytest.raises(PipelineError) as caught:
        call()
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message
    for word in words:
        assert str(word) in message, message


def same(network, other):
    """Whether two networks hold the same integers."""
    leaves = [dict(n.leaves()) for n in (network, other)]
    return leaves[0].keys() == leaves[1].keys() and all(
        np.array_equal(value, getattr(leaves[1][name], key))
        for name, leaf in leaves[0].items()
        for key, value in vars(leaf).items()
    )


def make_samples(network, count=3):
    shape = (count, network.num_patches, network.patch_dim)
    tokens = np.random.default_rng(0).integers(-128, 128, shape, dtype=np.int32)
    return int_resmlp.make_samples(network, tokens, np.arange(count))


# ---- arrays


@pytest.mark.parametrize(
    "c_type",
    [
        "const ap_int<8>",
        "ap_int< 8 >",
        "const int8_t",
        "static constexpr signed char",
        "weight_t",
        "const ap_fixed<8, 8>",
        "std::int8_t",
        "typename ns::T<3>::value",
    ],
)
def test_any_type_name_is_read(c_type):
    assert parse(f"{c_type} a[3] = {{-128, 0, 127}};") == {"a": [-128, 0, 127]}


@pytest.mark.parametrize("shape", [(1,), (5,), (2, 3), (3, 1), (2, 3, 4), (1, 1, 1)])
def test_one_to_three_dimensions(shape):
    values = np.arange(np.prod(shape)).reshape(shape) - 3
    [array] = parse_arrays(header_text({"a": values}), "a.h").values()
    np.testing.assert_array_equal(array.values, values)


@pytest.mark.parametrize(
    "text",
    [
        "T a[2][2]={{1,-2},{3,4}};",
        "T a [ 2 ] [ 2 ] = { { 1 , - 2 } , { +3 , 4 } } ;",
        "T a[2][2] = {{1, -2,}, {3, 4},};",
        "T a[2][2] // a[9] = {\n = {{1, /* {5}, */ -2}, // }\n {3,\r\n 4}} /* ; */ ;",
        '#define X {1\\\n 2}\n   #include "x.h"\nT a[2][2] =\n{\n{1, -2},\n{3, 4}\n}\n;\n',
        "T a[2][2] = {{01, -02}, {03, 04}};",
    ],
)
def test_spaces_comments_and_commas_do_not_matter(text):
    assert parse(text) == {"a": [[1, -2], [3, 4]]}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/* T a[1] = {1}; */",
        "// T a[1] = {1};",
        "# define T a[1] = {1};",
        "extern const int8_t a[3];",
        "struct Tap { const char* layer; int sizes[3]; };",
        "static constexpr const auto& w = blocks_0_w;",
        'const Tap taps[] = {{"a[1] = {1};", 1, &samples_a[0][0]},};',
        "int f(int i) { return a[i] + b[2][3]; }",
    ],
)
def test_other_text_is_passed_over(text):
    assert parse(text + "\nT z[1] = {7};") == {"z": [7]}


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("T a[2] = {1, 2", 1, ["a has no closing brace", "the end of the file"]),
        ("T a[2] = {1, 2;", 1, ["a has no closing brace", "';'"]),
        ("T a[2][2] = {\n{1, 2},\n{3, 4}\n;\nT b[1] = {1};", 4, ["a has no closing brace", "';'"]),
        ("T a[2] =\n{1, 2}\nT b[1] = {1};", 3, ["a has 'T' instead of ;"]),
        ("T a[2] = 1, 2};", 1, ["a has '1' instead of {"]),
        ("T a[2][2] = {1, 2, 3};", 1, ["a has '1' instead of {"]),
        ("T a[2] = {{1, 2}};", 1, ["a holds '{' instead of a whole number"]),
        ("\n\nT a[3] = {1,\n2};", 4, ["a has 2 values", "3 are declared"]),
        ("T a[1] = {1, 2};", 1, ["a has 2 values", "1 are declared"]),
        ("T a[1] = {};", 1, ["a has 0 values"]),
        ("T a[2][2] = {{1, 2},\n{3}};", 2, ["a has 1 values", "2 are declared"]),
        ("T a[2][1] = {\n{1}};", 2, ["a has 1 rows", "2 are declared"]),
        ("T a[2] = {1 2};", 1, ["a has no closing brace", "'2'"]),
        ("T a[2] = {1,, 2};", 1, ["a holds ','"]),
        ("T a[1] = {-};", 1, ["a holds '}'"]),
        ("T a[1] = {--1};", 1, ["a holds '-'"]),
        ("T a[1] = {1.5};", 1, ["a holds '1.5'"]),
        ("T a[1] = {0x};", 1, ["a holds '0x'"]),
        ("T a[1] = {1 << 2};", 1, ["a has no closing brace", "'<'"]),
        ("T a[1] = {089};", 1, ["a holds '089'"]),
        ("T a[1] = {-5u};", 1, ["a holds '5u'"]),
        ("T a[2] = {1,\n(2};", 2, ["a holds '('"]),
        ("T a[1] = {99999999999};", 1, ["a holds '99999999999'"]),
        ("uint8_t a[2] = {1,\n0x1FF};", 2, ["a holds 511", "0 to 255"]),
        ("std::array<int8_t, N> a = {1};", 1, ["a must have one to 3 sizes"]),
        ("std::array<int8_t, 2> a = {\n1};", 2, ["a has 1 values here, but 2 are declared"]),
        ("T a[2] = {1, 2}, b[1] = {3};", 1, ["a has ',' instead of ;"]),
        ("\n#if 0\nT a[1] = {1};", 2, ["#if 0 has no #endif"]),
        ("T a[1] = {1};\n#define X /* never\n", 2, ["a comment is not closed"]),
        ('T a[1] = {1};\n\nauto x = R"(never', 3, ["a raw string is not closed"]),
        ("T embed_linear_b[] = {\nx};", 2, ["embed_linear_b holds 'x'"]),
        ("T a[1] = {x};", 1, ["a holds 'x'"]),
        ("T a[1] = {\n" + "9" * 5000 + "};", 2, ["a holds", "instead of a whole number"]),
        ("\nT a[N] = {1};", 2, ["a is declared with [N]"]),
        ("T a[0] = {};", 1, ["a is declared with [0]"]),
        ("T a[2 + 1] = {1, 2, 3};", 1, ["a is declared with [2 + 1]"]),
        ("T a[1][1][1][1] = {{{{1}}}};", 1, ["a is declared with [1][1][1][1]"]),
        ("T a[1] = {1};\nT a[1] = {1};", 2, ["a stands on line 1, too"]),
        ("T a[1] = {1};\n/* never closed", 2, ["a comment is not closed"]),
        ("ap_int<8> a[2] = {1,\n128};", 2, ["a holds 128", "ap_int<8>", "-128 to 127"]),
        ("ap_int<4> a[1] = {-9};", 1, ["a holds -9", "-8 to 7"]),
        ("ap_uint<8> a[2] = {255, -1};", 1, ["a holds -1", "0 to 255"]),
        ("const uint8_t a[1] = {256};", 1, ["a holds 256", "0 to 255"]),
        ("std::int16_t a[1] = {40000};", 1, ["a holds 40000", "-32768 to 32767"]),
    ],
)
def test_malformed_arrays_are_told_by_name_and_line(text, line, words):
    refused(lambda: parse(text), f"a.h, line {line}: ", *words)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("0x1F", 31), ("0XfF", 255), ("-0x80", -128), ("0b101", 5), ("-0B1000'0000", -128)),
        *(("010", 8), ("-0177", -127), ("00", 0), ("1'000", 1000), ("5u", 5), ("5UL", 5)),
        *(("5ll", 5), ("0xFFu", 255), ("(5)", 5), ("(-5)", -5), ("-(5)", -5), ("((-5))", -5)),
        *(("int8_t(5)", 5), ("int8_t(-0x5)", -5), ("(int8_t)5", 5), ("(signed char)-5", -5)),
        *(("ap_int<8>(-7)", -7), ("(ap_uint< 4 >) 9", 9), ("static_cast<std::int8_t>(-3)", -3)),
        *(("int8_t(200)", -56), ("uint8_t(-1)", 255), ("weight_t(200)", 200), ("'a'", 97)),
        *(("'\\0'", 0), ("'\\x80'", -128), ("-'a'", -97), ("+ 5", 5), ("-\n5", -5)),
        *(("/* 9 */ 5", 5), ("5 // 9", 5), ("1\\\n", 1)),
    ],
)
def test_every_form_of_a_number_is_read_as_c_plus_plus_does(text, value):
    assert parse(f"const T a[2] = {{{text}\n, 7}};") == {"a": [value, 7]}
    assert parse(f"const T a[1][2] = {{{{7, {text}\n}}}};") == {"a": [[7, value]]}


@pytest.mark.parametrize(
    "text",
    [
        "static constexpr int8_t a[2][2] = {{1, -2}, {3, 4}};",
        "inline const int8_t a[2][2]{{1, -2}, {3, 4}};",
        "alignas(16) const int8_t a[2][2] = {{1, -2}, {3, 4}};",
        "const int8_t a[2][2] __attribute__((aligned(64))) = {{1, -2}, {3, 4}};",
        "int8_t a[2u][0x2] = {{1, -2}, {3, 4}};",
        "int8_t a[][2] = {{1, -2}, {3, 4}};",
        "int8_t a[2][2] = {1, -2, 3, 4};",
        "std::array<std::array<int8_t, 2>, 2> a = {{{{1, -2}}, {{3, 4}}}};",
        "std::array<std::array<int8_t, 2>, 2> a{{{1, -2}, {3, 4}}};",
        "const array<array<ap_int<8>,2>,2> a = {1, -2, 3, 4};",
        "namespace n {\nstruct S { static constexpr T a[2][2] = {{1, -2}, {3, 4}}; };\n}",
        "#if 0\nT a[1] = {9};\n#else\nT a[2][2] = {{1, -2}, {3, 4}};\n#endif",
        "// T a[1] = {9}; \\\n T a[1] = {9};\nT a[2][2] = {{1, -2}, {3, 4}};",
        '#define T "/*"\nT a[2][2] = {{1, -2}, {3, 4}};',
        "#define T /* x\n T a[1] = {9}; */ int\nT a[2][2] = {{1, -2}, {3, 4}};",
        'auto s = R"x(T a[1] = {9};)" )x"; T a[2][2] = {{1, -2}, {3, 4}};',
        'const char* s = "/* \\" //"; T a[2][2] = {{1, -2}, {3, 4}};',
        "inline int f(int* x) { x[0] = 3; if (x[1] == 2) return x[1]; }"
        "T a[2][2] = {{1, -2}, {3, 4}};",
        'const char n[] = "a[1]"; const char* m[] = {"x"}; T a[2][2] = {{1, -2}, {3, 4}};',
    ],
)
def test_every_form_of_a_declaration_is_read(text):
    assert parse(text) == {"a": [[1, -2], [3, 4]]}


def test_an_array_whose_sizes_only_the_design_knows_is_one_row_of_values():
    text = "const int8_t a[Design::x_fold::groups][Design::lanes] = {\n1, -2,\n3, 4};"
    [array] = parse_arrays(text, "a.h").values()
    assert array.flat and array.values.tolist() == [1, -2, 3, 4]
    refused(lambda: parse("T a[2][Design::lanes] = {{1}};"), "a holds '{'")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_what_editors_save_is_read_with_its_lines(tmp_path, encoding, ends):
    text = "// é\nT a[2] = {1,\n2};\nuint8_t b[1] =\n{-1};\n".replace("\n", ends)
    (tmp_path / "params.hpp").write_bytes(text.encode(encoding))
    refused(lambda: read_arrays(tmp_path), "line 5: b holds -1")


def test_bytes_that_are_no_text_are_refused_by_name(tmp_path):
    (tmp_path / "params.hpp").write_bytes(b"T a[1] = {1};\0\0\0")
    refused(lambda: read_arrays(tmp_path), "params.hpp holds zero bytes", "save it as UTF-8")
    (tmp_path / "params.hpp").write_bytes(b"\xff\xfea\0b")
    refused(lambda: read_arrays(tmp_path), "params.hpp is damaged UTF-16")


@pytest.mark.parametrize(
    "written",
    ["extern T {};", "#define {} 3", "T {}[2][2][2][2];", "std::vector<T> {} = {{1, 2}};"],
)
def test_a_name_that_stands_there_is_never_missing(random_network, tmp_path, written):
    network = random_network()
    write_headers(tmp_path, network)
    old = array_text("embed_linear_b", network.embed_linear.b)
    new = written.format("embed_linear_b")
    change(tmp_path, "quant_params.h", lambda text: text.replace(old, new))
    line = (tmp_path / "quant_params.h").read_text().split(new)[0].count("\n") + 1
    refused(lambda: read_all(tmp_path), f"quant_params.h, line {line}: embed_linear_b stands here")


LARGE = {  # text of a MB or less: whether it is read
    "open comments": ("/* " * 250_000, False),
    "open brackets": ("a[" * 250_000, True),
    "open braces": ("T a[1] = " + "{" * 250_000, False),
    "unsized": ('T a[] = {"' * 75_000, True),
    "words": ("a " * 250_000, True),
    "one word": ("a" * 1_000_000, True),
    "no array": ("array<" * 62_500, True),
    "no array, spaced": ("std::array<" + "int " * 250_000, True),
    "strings": ('"' * 250_000, True),
    "texts": ('"x",' * 50_000, True),
    "directives": ("#\\\n" * 250_000, True),
    "switched off": ("#if 0\n" * 125_000, False),
    "characters": ("'a'," * 50_000, True),
    "attributes": ("a[1] __attribute__((" * 50_000, True),
    "raw strings": ('R"(' * 250_000, False),
    "parentheses": ("T a[1] = {" + "(" * 250_000 + "};", False),
    "small arrays": ("T a[1] = {1};\n" * 50_000, False),
    "a value too many": ("T a[225000] = {" + "1,\n" * 225_001 + "};", False),
    "a row too short": ("T a[75000][2] = {" + "{1, 2},\n" * 74_999 + "{1}};", False),
    "exotic": ("T a[125000] = {" + "int8_t(0x7f),\n" * 125_000 + "};", True),
    "casts": ("T a[1] = {" + "int8_t(" * 100_000 + "};", False),
}


@pytest.mark.parametrize("case", LARGE)
def test_large_texts_take_time_in_proportion(case):
    text, is_read = LARGE[case]
    start = time.process_time()
    try:
        parse_arrays(text, "a.h")
        assert is_read
    except PipelineError as error:
        assert not is_read and len(str(error)) < 300
    assert time.process_time() - start < 3  # quadratic time would be an hour


PIECES = [
    *(
        "T ",
        "ap_int<8> ",
        "ap_uint<2>",
        "a",
        "b",
        "[2]",
        "[",
        "]",
        "[1][2]",
        "=",
        "{",
        "}",
        "{1, 2}",
    ),
    ";",
    ",",
    "-",
    "+",
    "1",
    "200",
    "/*",
    "*/",
    "//",
    "\n",
    "#",
    '"',
    "\\",
    "\x00",
    "é",
    " ",
]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join) | st.text(max_size=40))
def test_any_text_is_read_or_refused(text):
    try:
        arrays = parse_arrays(text, "a.h")
    except PipelineError as error:
        assert re.match(r"a\.h, line \d+: ", str(error)) and "\n" not in str(error)
    else:
        assert all(1 <= array.values.ndim <= 3 for array in arrays.values())


# ---- networks


@pytest.fixture
def table_network(random_network):
    """Return a network whose tables end as the published ones do."""
    return with_published_tables(random_network(seed=4, tables=True))


@pytest.fixture(params=["relu", "tables"])
def network(request, random_network, table_network):
    return random_network(seed=4) if request.param == "relu" else table_network


def test_published_headers_are_read_back(network, tmp_path):
    samples = make_samples(network)
    write_headers(tmp_path, network, samples)
    arrays = read_arrays(tmp_path)
    assert same(read_network(arrays, tmp_path), network)
    read = read_samples(arrays, network, tmp_path)
    for ours, theirs in zip(
        (read.input, *read.inter, read.output),
        (samples.input, *samples.inter, samples.output),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("tables", [False, True])
def test_our_headers_are_read_back_identical(random_network, tmp_path, tables):
    network = random_network(seed=9, tables=tables)
    samples = make_samples(network)
    texts = {
        "config.hpp": config_text(network),
        "params.hpp": params_text(network),
        "golden.hpp": golden_text(samples),
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    arrays = read_arrays(tmp_path)
    read = read_network(arrays, tmp_path)
    assert same(read, network)
    assert params_text(read) == texts["params.hpp"]
    read_back = read_samples(arrays, network, tmp_path)
    np.testing.assert_array_equal(read_back.input, samples.input)
    np.testing.assert_array_equal(read_back.output, samples.output)
    assert read_back.inter == ()


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ("};", "blocks_0_mlp_psa_1_words has 383 words, but must have 64 a channel"),
        (", 131072};", "blocks_0_mlp_psa_1_words holds 131072"),
        (", x};", "holds 'x' instead of a whole number"),
        (", 3 4};", "it has '4' instead of }"),
    ],
)
def test_words_that_are_no_table_are_refused(table_headers, tmp_path, end, words):
    table_headers(lambda text: re.sub(r"(psa_1_words\[[^;]*), \d+};", rf"\1{end}", text, count=1))
    refused(lambda: read_network(read_arrays(tmp_path), tmp_path), "params.hpp, line ", words)


def test_a_matrix_of_unequal_rows_is_refused(table_headers, tmp_path):
    table_headers(lambda text: re.sub(r"(embed_linear_w\[[^;]*), -?\d+};", r"\1};", text))
    words = "which are not 6 equal rows"
    refused(lambda: read_network(read_arrays(tmp_path), tmp_path), "embed_linear_w has", words)


@pytest.fixture
def table_headers(random_network, tmp_path):
    """Return a function that writes our headers of a small network, changed."""

    def write(change):
        network = random_network(seed=9, tables=True)
        (tmp_path / "params.hpp").write_text(change(params_text(network)))
        return network

    return write


@pytest.fixture
def segment_headers(random_network, tmp_path):
    """Return a function that writes headers of a network with the segments of our earlier ones."""

    def write(change):
        network = random_network(seed=9, tables=True)
        text = re.sub(r"const TableWord \w+\[.*?;\n", "", params_text(network), flags=re.DOTALL)
        for name, leaf in network.leaves():
            if isinstance(leaf, IntTable):
                pairs = np.stack([leaf.knots[:, :-1], np.diff(leaf.knots)], axis=-1)
                array = f"{published_name(name)}_segments"
                text += our_array_text(array, pairs, "Segment", dimensions=2)
        (tmp_path / "params.hpp").write_text(change(text))
        return network

    return write


def test_tables_as_segments_are_read_too(segment_headers, tmp_path):
    """Headers of ours had pairs of a knot and a slope before they had words."""
    network = segment_headers(lambda text: text)
    assert same(read_network(read_arrays(tmp_path), tmp_path), network)


def test_tables_as_knots_are_read_too(segment_headers, tmp_path):
    """Headers of ours had 65 knots a channel before they had 64 segments."""
    tables = {}

    def no_segments(text):
        return re.sub(r"const Segment \w+\[.*?;\n", "", text, flags=re.DOTALL)

    network = segment_headers(no_segments)
    for name, leaf in network.leaves():
        if isinstance(leaf, IntTable):
            tables[f"{published_name(name)}_knots"] = leaf.knots
    (tmp_path / "quant_params.h").write_text(header_text(tables))
    assert same(read_network(read_arrays(tmp_path), tmp_path), network)


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ([[1, 2]] * 64, "blocks_0_mlp_psa_1_segments has a slope that does not lead to the next"),
        ([[127, 0]] * 63 + [[127, 1]], "blocks_0_mlp_psa_1_segments has a knot outside int8"),
        ([[0, 0]] * 65, "blocks_0_mlp_psa_1_segments has 66 points a channel, but must have 65"),
        ([[0, 256]] * 64, "blocks_0_mlp_psa_1_segments holds 256"),
        ([[0]] * 64, "has 1 values here, but 2 are declared"),
        ([[0, 0, 0]] * 64, "has 3 values here, but 2 are declared"),
    ],
)
def test_segments_that_are_no_table_are_refused(segment_headers, tmp_path, pairs, words):
    text = "{" + ", ".join("{" + ", ".join(map(str, pair)) + "}" for pair in pairs) + "}"

    def spoil(headers):
        start = headers.index("const Segment blocks_0_mlp_psa_1_segments[")
        end = headers.index(";", start)
        rows = int(headers[start:end].split("[")[1].split("]")[0])
        array = f"const Segment blocks_0_mlp_psa_1_segments[{rows}][{len(pairs)}] = "
        return headers[:start] + array + "{" + ", ".join([text] * rows) + "}" + headers[end:]

    segment_headers(spoil)
    refused(lambda: read_network(read_arrays(tmp_path), tmp_path), "params.hpp, line ", words)


def test_a_table_of_256_entries_is_read_as_the_hardware_reads_it(table_network, tmp_path):
    write_headers(tmp_path, table_network)
    luts = {
        f"{published_name(name)}_lut": leaf.lut
        for name, leaf in table_network.leaves()
        if isinstance(leaf, IntTable)
    }
    (tmp_path / "lerp_psa_params.h").write_text(header_text(luts))
    assert same(read_network(read_arrays(tmp_path), tmp_path), table_network)


def test_a_network_without_samples_has_none(network, tmp_path):
    write_headers(tmp_path, network)
    assert read_samples(read_arrays(tmp_path), network, tmp_path) is None


def change(tmp_path, file, edit):
    path = tmp_path / file
    path.write_text(edit(path.read_text()))


def read_all(tmp_path) -> IntResMlp:
    arrays = read_arrays(tmp_path)
    network = read_network(arrays, tmp_path)
    read_samples(arrays, network, tmp_path)
    return network


def test_every_missing_array_is_named(network, tmp_path):
    arrays = network_arrays(network) | sample_arrays(make_samples(network))
    optional = [name for name in arrays if name.startswith("samples_inter")]
    for name in arrays.keys() - optional:
        (tmp_path / "quant_params.h").write_text(
            header_text({key: values for key, values in arrays.items() if key != name})
        )
        table = name.removesuffix("_lerp_lut")
        sibling = table.rpartition("_psa_")[0] if table != name else name
        refused(lambda: read_all(tmp_path), tmp_path, sibling)


def test_every_array_of_another_size_is_named_with_its_line(network, tmp_path):
    arrays = network_arrays(network) | sample_arrays(make_samples(network))
    for name, values in arrays.items():
        for axis in range(np.ndim(values)):
            spoilt = arrays | {name: np.concatenate([values, values], axis=axis)}
            (tmp_path / "quant_params.h").write_text(header_text(spoilt))
            refused(lambda: read_all(tmp_path), "quant_params.h, line ")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("embed_linear_w", 128, ["holds 128", "-128 to 127"]),
        ("embed_linear_s", 0, ["holds 0", "1 to 16"]),
        ("classifier_linear_s", 17, ["holds 17", "1 to 16"]),
        ("blocks_1_mlp_res_affine_b", -129, ["holds -129"]),
    ],
)
def test_values_that_the_network_cannot_hold_are_told_with_their_line(
    random_network, tmp_path, name, value, words
):
    network = random_network()
    write_headers(tmp_path, network)
    arrays = network_arrays(network)
    values = arrays[name].copy()
    values[-1] = value
    old, new = array_text(name, arrays[name]), array_text(name, values)
    new = re.sub(r"ap_u?int<8>", "any_t", new)
    change(tmp_path, "quant_params.h", lambda text: text.replace(old, new))
    text = (tmp_path / "quant_params.h").read_text()
    line = text[: text.index(new)].count("\n") + new.count("\n", 0, new.rindex(str(value))) + 1
    refused(lambda: read_all(tmp_path), f"quant_params.h, line {line}: {name} ", *words)


def test_an_array_that_no_network_has_is_refused(random_network, tmp_path):
    write_headers(tmp_path, random_network())
    more = "const ap_int<8> blocks_0_mlp_linear_3_w[1] = {1};"
    change(tmp_path, "quant_params.h", lambda text: text + more)
    refused(lambda: read_all(tmp_path), "quant_params.h, line ", "blocks_0_mlp_linear_3_w")


def test_arrays_of_other_names_are_passed_over(random_network, tmp_path):
    write_headers(tmp_path, random_network())
    change(tmp_path, "quant_params.h", lambda text: text + "const int mean[1] = {1000};")
    assert same(read_all(tmp_path), random_network())


def test_an_array_in_two_files_is_refused(random_network, tmp_path):
    write_headers(tmp_path, random_network())
    (tmp_path / "quant_params_old.h").write_text("T embed_linear_b[1] = {1};")
    refused(lambda: read_all(tmp_path), "embed_linear_b", "quant_params.h", "quant_params_old.h")


def test_a_folder_without_headers(tmp_path):
    refused(lambda: read_arrays(tmp_path), tmp_path, *HEADER_FILES)
    refused(lambda: read_arrays(tmp_path / "gone"), tmp_path / "gone")
    (tmp_path / "quant_params.h").mkdir()
    refused(lambda: read_arrays(tmp_path), "quant_params.h", "cannot be read")


def test_bytes_that_are_no_text_do_no_harm_in_comments(random_network, tmp_path):
    write_headers(tmp_path, random_network())
    path = tmp_path / "quant_params.h"
    path.write_bytes(b"\xef\xbb\xbf// caf\xe9\n" + path.read_bytes())
    assert same(read_all(tmp_path), random_network())


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_damage_is_refused_or_a_valid_network(tmp_path_factory, random_network, data):
    network = random_network(patch_dim=3, num_patches=2, embed_dim=2, hidden_dim=1, num_blocks=1)
    text = header_text(network_arrays(network) | sample_arrays(make_samples(network, 1)))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        put = data.draw(st.sampled_from([*PIECES, "", "7", "_", "w"]))
        text = text[:at] + put + text[at + data.draw(st.integers(0, 3)) :]
    folder = tmp_path_factory.getbasetemp() / "damage"
    folder.mkdir(exist_ok=True)
    (folder / "quant_params.h").write_text(text)
    try:
        read = read_all(folder)
    except PipelineError as error:
        assert str(folder) in str(error) and "\n" not in str(error)
    else:
        assert isinstance(read, IntResMlp)


# ---- the published ReLU-96


def test_the_published_arrays_are_read(published, published_network, tmp_path):
    with np.load(published / "relu96_int8.npz") as file:
        arrays = {name: file[name] for name in file.files}
    (tmp_path / "quant_params.h").write_text(header_text(arrays))
    read = read_arrays(tmp_path)
    assert read.keys() == arrays.keys()
    for name, values in arrays.items():
        np.testing.assert_array_equal(read[name].values, values)
    network, tokens, logits = published_network
    assert same(read_network(read, tmp_path), network)
    samples = read_samples(read, network, tmp_path)
    np.testing.assert_array_equal(samples.input, tokens)
    np.testing.assert_array_equal(samples.output, logits)
    assert len(samples.inter) == 5
