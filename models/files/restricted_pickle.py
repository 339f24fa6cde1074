"""Read a pickle that holds only dictionaries, lists, tuples, strings, bytes, integers and arrays.

A pickle is a program. This reader allows a small subset of it. It checks every opcode before it
runs the first one. A pickle may request only the names in `_CONSTRUCTORS`; they map to functions of
this module, never to functions of Python or numpy. An array consists of a numeric dtype, a shape
and bytes. This module builds it from these three, so a forged dtype or shape never reaches numpy's
own `__setstate__`.
"""

import math
import pickle
import pickletools
from collections.abc import Callable
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from models.files.errors import PipelineError, one_line

# fmt: off
_OPCODES = frozenset({
    "PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "NONE", "NEWTRUE", "NEWFALSE",
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4",
    "STRING", "BINSTRING", "SHORT_BINSTRING",
    "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
    "EMPTY_LIST", "LIST", "APPEND", "APPENDS", "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS",
    "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3",
    "GET", "BINGET", "LONG_BINGET", "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE",
    "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD",
})
# fmt: on
_PUTS = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
_ADMITTED = "dictionaries, lists, tuples, strings, bytes, integers and numeric numpy arrays"


def restricted_load(file: BinaryIO, name: str) -> Any:  # noqa: ANN401  any admitted type
    """Return the object in the pickle `file`; error messages call the file `name`.

    Admitted types are dict, list, tuple, str, bytes, int, bool, None, and numpy arrays of booleans,
    integers or floats, pickled by Python 2 (byte strings become latin-1 str) or 3. Raises
    PipelineError for any other type and for a damaged file. No name in the pickle is ever imported
    or called.
    """
    data = file.read()
    try:
        if _check_opcodes(data) != len(data):
            raise ValueError("something follows its end")
        unpickler = _Unpickler(BytesIO(data), encoding="latin1")
        return _Resolver(len(data)).resolve(unpickler.load())
    except _Refused as refused:
        raise PipelineError(
            f"{name} {refused}, but only {_ADMITTED} are read from pickles; "
            "get the file again from a source you trust"
        ) from None
    except Exception as error:  # on garbage the unpickler raises nearly any built-in exception
        raise PipelineError(
            f"{name} is not a complete pickle ({type(error).__name__}: {one_line(error)}); "
            "it is damaged or cut short, make or download it again"
        ) from error


class _Refused(Exception):
    """The pickle is well formed but contains something that is not admitted."""


def _check_opcodes(data: bytes) -> int:
    """Return the length of the pickle in `data`.

    Refuses opcodes outside the subset, cut-off arguments and memo indices that waste memory.

    The unpickler grows its memo to twice the largest index. A regular pickle numbers its entries
    consecutively, so an index never exceeds the number of preceding opcodes.
    """
    start = 0  # of the last instruction, STOP, which has one byte
    for count, (opcode, argument, position) in enumerate(pickletools.genops(data)):
        if opcode.name not in _OPCODES:
            raise _Refused(f"uses the pickle instruction {opcode.name}")
        if opcode.name in _PUTS and argument is not None and argument > count:
            raise ValueError(f"memo index {argument} after {count} instructions")
        start = position or 0
    return start + 1


class _Unpickler(pickle.Unpickler):
    """An unpickler that finds only `_CONSTRUCTORS`."""

    def find_class(self, module: str, name: str) -> "_Constructor":
        try:
            return _CONSTRUCTORS[module, name]
        except KeyError:
            raise _Refused(f"asks for {module}.{name}") from None


class _Constructor:
    """The object that a pickle gets for an admitted name: a callable without attributes to set."""

    __slots__ = ("_function",)
    _function: Callable[..., object]

    def __init__(self, function: Callable[..., object]) -> None:
        object.__setattr__(self, "_function", function)

    def __setattr__(self, name: str, value: object) -> None:
        raise _Refused(f"sets the attribute {name} of a constructor")

    def __call__(self, *arguments: object) -> object:
        return self._function(*arguments)


class _PickledDtype:
    """The stand-in for a dtype during unpickling; its state is only the byte order."""

    __slots__ = ("dtype",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, code: object, *_: object) -> None:
        dtype = np.dtype(code) if isinstance(code, str) else None
        if dtype is None or dtype.kind not in "biuf":
            raise _Refused(f"holds an array of type {code!r}")
        self.dtype = dtype

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, order, subarray, names, fields, *_ = state
        if (subarray, names, fields) != (None, None, None) or order not in ("<", ">", "=", "|"):
            raise _Refused("holds an array of a structured type")
        self.dtype = self.dtype.newbyteorder(order)


class _PickledArray:
    """The stand-in for an array during unpickling: its bytes, type, shape and order, unchecked."""

    __slots__ = ("parts",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, *parts: object) -> None:
        self.parts = parts

    def __setstate__(self, state: tuple[object, ...]) -> None:
        _, shape, dtype, fortran_order, content = state
        self.parts = content, dtype, shape, "F" if fortran_order else "C"


def _encode(text: str, encoding: str) -> bytes:
    """Return bytes from the latin-1 string in which Python 3 stores them in protocols 0 to 2."""
    if encoding != "latin1":
        raise _Refused(f"encodes a string as {encoding!r}")
    return text.encode("latin1")


def _array_class(*_: object) -> None:
    raise _Refused("calls numpy.ndarray")


_CONSTRUCTORS = {
    ("numpy", "ndarray"): _Constructor(_array_class),  # allowed as an argument of _reconstruct only
    ("numpy", "dtype"): _Constructor(_PickledDtype),
    ("_codecs", "encode"): _Constructor(_encode),
}
for _core in ("numpy.core", "numpy._core"):  # numpy 1 and numpy 2
    _CONSTRUCTORS[f"{_core}.multiarray", "_reconstruct"] = _Constructor(lambda *_: _PickledArray())
    _CONSTRUCTORS[f"{_core}.numeric", "_frombuffer"] = _Constructor(_PickledArray)


class _Resolver:
    """Replaces the stand-ins of arrays by real arrays; visits each shared object once.

    In a regular pickle every array has its own bytes, so all arrays together are no larger than the
    file. A forged pickle could build thousands of arrays from the same bytes.
    """

    def __init__(self, file_size: int) -> None:
        self._bytes_left = file_size
        # id -> (the value, kept alive so that its id is not reused; its replacement)
        self._seen: dict[int, tuple[object, object]] = {}

    def resolve(self, value: object) -> object:
        """Return `value` with every `_PickledArray` in it replaced by its array."""
        if type(value) in (str, bytes, int, bool, type(None)):
            return value
        if id(value) not in self._seen:
            self._seen[id(value)] = (value, value)  # for a container that holds itself
            self._seen[id(value)] = (value, self._resolve_new(value))
        return self._seen[id(value)][1]

    def _resolve_new(self, value: object) -> object:
        if isinstance(value, _PickledArray):
            return self._array(value)
        if isinstance(value, tuple):
            return tuple(map(self.resolve, value))
        if isinstance(value, list):
            value[:] = map(self.resolve, value)
        elif isinstance(value, dict):
            for key, item in value.items():
                if not isinstance(key, str | bytes | int):
                    raise _Refused(f"holds a dictionary key of type {type(key).__name__}")
                value[key] = self.resolve(item)
        else:
            raise _Refused(f"holds a bare {type(value).__name__.strip('_')}")
        return value

    def _array(self, pickled: _PickledArray) -> npt.NDArray[Any]:
        """Return a new array in native byte order; its bytes must fill its shape exactly."""
        content, typed, shape, order = pickled.parts
        content = content.encode("latin1") if isinstance(content, str) else content  # Python 2
        if not isinstance(content, bytes | bytearray):
            raise _Refused(f"holds an array made of a {type(content).__name__}")
        if not isinstance(typed, _PickledDtype) or not isinstance(shape, tuple):
            raise _Refused("holds an array without a plain type or shape")
        self._bytes_left -= len(content)
        if self._bytes_left < 0:
            raise ValueError("its arrays are larger than the file")
        dtype = typed.dtype
        if math.prod(shape) * dtype.itemsize != len(content):
            raise ValueError(f"{len(content)} bytes for an array of shape {shape} and type {dtype}")
        flat = np.frombuffer(content, dtype).astype(dtype.newbyteorder("="))
        return flat.reshape(shape, order="F" if order == "F" else "C")
