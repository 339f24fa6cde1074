"""A pickle from outside is read for its numbers and can do nothing else."""

import io
import os
import pickle
import pickletools
import struct
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from models.files.errors import PipelineError
from models.files.restricted_pickle import restricted_load

DTYPES = ["?", "i1", "u1", "<i4", ">i4", "i8", "f4", ">f8"]
# A Python 2 protocol-2 pickle of {'data': uint8 [[1, 200], [3, 4]], 'labels': [6, 9]}, as cPickle
# writes it: byte strings for text and for the content of the array.
PYTHON_2 = (
    b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04"
    b"K\x00\x85U\x01b\x87Rq\x05(K\x01K\x02K\x02\x86cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87Rq\x07"
    b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x04\x01\xc8\x03\x04tb"
    b"U\x06labelsq\x08]q\x09(K\x06K\x09eu."
)


def load(data: bytes):
    return restricted_load(io.BytesIO(data), "dump.pkl")


def refused(data: bytes, *words: str) -> str:
    """Assert that the pickle raises one sentence naming the file and `words`; return it."""
    with pytest.raises(PipelineError) as caught:
        load(data)
    message = str(caught.value)
    assert "dump.pkl" in message and "\n" not in message
    for word in words:
        assert word in message
    return message


class Calls:
    """Pickles as a call of `function(*arguments)`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_round_trip_in_every_protocol(protocol, dtype):
    array = np.array([[0, 1, 100], [2, 3, 1]], dtype=dtype)
    content = {
        "c": array,
        "f": np.asfortranarray(array),
        "view": array[:, ::2],
        "scalar": array[0, 2, ...],
        "again": [array, array],
    }
    loaded = load(pickle.dumps(content, protocol))
    for key in ("c", "f", "view", "scalar"):
        assert type(loaded[key]) is np.ndarray
        assert loaded[key].dtype == np.dtype(dtype).newbyteorder("=")
        np.testing.assert_array_equal(loaded[key], content[key])
    assert loaded["again"][0] is loaded["again"][1]
    loaded["c"][0, 0] = 1  # arrays belong to the caller


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.binary(min_size=1),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.text() | st.integers(), inner)
            | st.tuples(inner, inner)
        ),
        max_leaves=12,
    ),
    st.integers(0, pickle.HIGHEST_PROTOCOL),
)
def test_plain_values_round_trip(value, protocol):
    assert load(pickle.dumps(value, protocol)) == value


@given(arrays.arrays(arrays.integer_dtypes(), arrays.array_shapes(min_dims=0, max_dims=4)))
def test_any_integer_array_round_trips(array):
    np.testing.assert_array_equal(load(pickle.dumps(array, 4)), array)


def test_python_2_byte_strings_become_text():
    loaded = load(PYTHON_2)
    assert list(loaded) == ["data", "labels"] and loaded["labels"] == [6, 9]
    assert loaded["data"].dtype == np.uint8
    assert loaded["data"].tolist() == [[1, 200], [3, 4]]


def test_a_list_that_holds_itself_ends():
    value: list = [np.arange(2)]
    value.append(value)
    loaded = load(pickle.dumps(value))
    assert loaded[1] is loaded and loaded[0].tolist() == [0, 1]


def test_shared_containers_are_visited_once():
    value: list = []
    for _ in range(200):  # 2**200 paths lead to the innermost list
        value = [value, value]
    assert len(load(pickle.dumps(value))) == 2


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    ("call", "name"),
    [
        (Calls(os.system, "touch PWNED"), "system"),
        (Calls(eval, "1"), "eval"),
        (Calls(getattr, "text", "encode"), "getattr"),
        (Calls(__import__, "os"), "__import__"),
        (Calls(np.load, "x"), "load"),
        (Calls(OrderedDict), "OrderedDict"),
    ],
)
def test_any_other_name_is_refused_and_not_called(call, name, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(pickle.dumps({"w": [call]}, protocol), name, "trust")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "value", [1.5, {1, 2}, frozenset({1}), 2j, np.float64(1), range(3), bytearray(b"x")]
)
def test_other_values_are_refused(value):
    refused(pickle.dumps(value))


@pytest.mark.parametrize(
    "array",
    [
        np.array([{}, None], dtype=object),
        np.array(["text"]),
        np.array([b"text"]),
        np.zeros(2, dtype=[("a", "i4")]),
        np.zeros(2, dtype="M8[s]"),
        np.zeros(2, dtype="c8"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_arrays_that_are_not_numbers_are_refused(array, protocol):
    refused(pickle.dumps(array, protocol), "array")


def test_a_forged_dtype_does_not_reach_numpy():
    """A plain type whose pickled state claims object fields: numpy itself would believe it."""
    data = pickle.dumps(np.zeros(2, dtype="V8"), 2).replace(b"V8", b"i8")
    fields = data.replace(b"|q", b"|q", 1).replace(b"NNN", b"N}}", 1)
    refused(fields, "structured")


def test_a_shape_that_the_bytes_do_not_fill_is_refused():
    data = pickle.dumps(np.zeros(3, dtype=np.uint8), 4)
    refused(data.replace(b"K\x01K\x03\x85", b"K\x01K\x7f\x85"), "3 bytes")
    refused(data.replace(b"K\x01K\x03\x85", b"K\x01J\xff\xff\xff\xff\x85"))
    negative = b"K\x01J\xff\xff\xff\xffJ\xfd\xff\xff\xff\x86"  # -1 times -3 elements
    refused(data.replace(b"K\x01K\x03\x85", negative))


@pytest.mark.parametrize(
    "data", [b"", b"garbage", b"\x80\x04", b"\x89PNG\r\n\x1a\n", b"\x1f\x8b\x08"]
)
def test_garbage_is_refused(data):
    refused(data)


def test_every_truncation_and_every_flipped_byte_ends_in_a_value_or_one_sentence():
    data = pickle.dumps({"w": np.arange(6, dtype=np.int32).reshape(2, 3), "offset": 128}, 4)
    for length in range(len(data)):
        refused(data[:length])
    for position in range(len(data)):
        for mask in (0x01, 0x80, 0xFF):
            flipped = bytearray(data)
            flipped[position] ^= mask
            try:
                load(bytes(flipped))
            except PipelineError as error:
                assert "dump.pkl" in str(error)


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04]r" + struct.pack("<I", 2**32 - 1) + b".",  # memo of 2**33 entries
        b"\x80\x04]r" + struct.pack("<I", 2**20) + b".",  # one that memory would grant
        b"\x80\x04B" + struct.pack("<I", 2**32 - 1) + b"x.",  # 4 GiB of bytes announced, 1 given
        b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"x.",
        b"\x80\x04\x95" + struct.pack("<Q", 2**40) + b"N.",  # a frame of 1 TiB
        b"p99999999999999999999\n.",
        b"L" + b"9" * 10_000 + b"L\n.",
    ],
)
def test_announced_sizes_are_not_believed(data):
    refused(data, "damaged")


def test_arrays_cannot_multiply_one_piece_of_the_file():
    content = bytes(range(256)) * 16

    class Array:
        def __reduce__(self):
            function, arguments, state = np.zeros(4096, dtype=np.uint8).__reduce__()
            return function, arguments, (*state[:-1], content)

    assert load(pickle.dumps([Array()]))[0].tolist() == list(content)
    refused(pickle.dumps([Array() for _ in range(100)]), "larger than the file")


def test_deep_nesting_is_refused():
    refused(b"\x80\x04" + b"]" * 200_000 + b"a" * 199_999 + b".", "damaged")


def test_constructors_cannot_be_changed_or_returned():
    encode = b"c_codecs\nencode\n"
    for name in (b"__defaults__", b"_function"):  # state that sets attributes
        changes = b"(U" + bytes([len(name)]) + name + b")d"
        refused(b"\x80\x02" + encode + b"N" + changes + b"\x86b.")
    assert load(pickle.dumps(b"still \xff", 2)) == b"still \xff"
    refused(b"\x80\x02" + encode + b"}(X\x01\x00\x00\x00fK\x01ub.")  # state that fills __dict__
    refused(b"\x80\x02" + encode + b".", "bare")
    refused(b"\x80\x02}" + encode + b"K\x01s.", "key")
    refused(b"\x80\x02cnumpy\nndarray\nK\x04\x85R.", "numpy.ndarray")
    refused(b"\x80\x02" + encode + b"X\x01\x00\x00\x00aX\x03\x00\x00\x00hex\x86R.", "hex")


def test_persistent_and_extension_references_are_refused():
    refused(b"Pname\n.", "PERSID")
    refused(b"\x80\x02\x82\x01.", "EXT1")


def test_the_attacks_are_well_formed():
    """The refusals above are not mere parse errors."""
    for data in (PYTHON_2, pickle.dumps(Calls(os.system, "true"))):
        pickletools.dis(data, out=io.StringIO())
