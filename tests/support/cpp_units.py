"""The C++ units with the data of cases of hls/rtl: one compilation for many sizes."""

import ctypes
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hls.simulate import gpp
from tests.support.paths import ROOT
from tests.support.rtl_bench import Case, Cpp, Elements


class CppUnits:
    """A library of the C++ units of the given cases; cases of the same sizes run in it."""

    def __init__(self, cases: Sequence[Case], folder: Path) -> None:
        lines = ['#include "hls_units_binding.hpp"']
        for number, case in enumerate(cases):
            if case.cpp is not None:
                lines += _binding(number, case, case.cpp)
        source, library = folder / "units.cpp", folder / "units.so"
        source.write_text("\n".join(lines) + "\n")
        includes = [f"-I{gpp.SOURCES / name}" for name in ("common", "streaming")]
        includes += [f"-I{ROOT / 'tests/support'}", "-isystem", str(gpp.ap_types_folder())]
        flags = [*gpp.FLAGS, "-UNATIVE_SUMS", "-O0", "-Werror", "-shared", "-fPIC", *includes]
        subprocess.run(["g++", *flags, str(source), "-o", str(library)], check=True)
        self._library = ctypes.CDLL(str(library))

    def differences(self, number: int, case: Case) -> int:
        """Run the C++ unit of a case; return how many elements differ from the case's outputs.

        Words that the unit leaves behind or does not send count, too.
        """
        assert case.cpp is not None
        if case.tables:
            words = np.array(case.tables, np.uint32)  # [lane, word of channels x segment]
            lanes = words.shape[0]
            tables = np.ascontiguousarray(words.reshape(lanes, -1, 64).swapaxes(0, 1))
            size = tables.size
            memory = (ctypes.c_uint32 * size).in_dll(self._library, f"tables_{number}")
            ctypes.memmove(memory, tables.ctypes.data, tables.nbytes)
        first, *others = case.cpp.inputs
        batches = list(first) if case.cpp.images > 1 else [first]
        found = [self._call(number, case.cpp, [x, *others]) for x in batches]
        wrong = sum(lost for lost, _ in found)
        takes = case.cpp.takes or range(len(case.cpp.shapes))
        for place, stream in zip(takes, case.outputs.values(), strict=True):
            y = np.concatenate([np.atleast_2d(filled[place]) for _, filled in found])
            y = np.repeat(y, case.cpp.times, axis=0)
            wrong += int(np.count_nonzero(y.ravel() != stream.elements.astype(np.int8).ravel()))
        return wrong

    def _call(
        self, number: int, cpp: Cpp, inputs: Sequence[Elements]
    ) -> tuple[int, list[Elements]]:
        """Return the number of words left or missing, and the filled arrays."""
        filled: list[Elements] = [np.full(shape, 99, np.int8) for shape in cpp.shapes]
        arrays = [*(np.ascontiguousarray(array, np.int8) for array in inputs), *filled]
        address = ctypes.c_void_p.in_dll(self._library, f"unit_{number}").value
        assert address is not None
        kind = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * len(arrays))
        return kind(address)(*(ctypes.c_void_p(array.ctypes.data) for array in arrays)), filled


def _binding(number: int, case: Case, cpp: Cpp) -> list[str]:
    """Return C++ that names the unit of a case; its tables, if any, are filled from Python."""
    arguments, lines = list(map(str, cpp.arguments)), []
    if arguments[0] == "Table":
        lanes, words = len(case.tables), len(case.tables[0]) // 64
        lines.append(f'extern "C" {{ TableWord tables_{number}[{words}][{lanes}][64]; }}')
        arguments[0] = f"Table<Storage::lut, {words}, {lanes}, tables_{number}>"
    call = f"{cpp.unit}_unit<{', '.join(arguments)}>"
    return [*lines, f'extern "C" const auto unit_{number} = &{call};']
