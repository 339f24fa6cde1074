"""Build an ONNX graph node by node, each with a name, and write it as bytes that never vary.

Only this module imports the package onnx, and only when it is used.
"""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from models.files.errors import PipelineError

OPSET = 17  # of the operators; onnxruntime 1.12 and newer read it
IR_VERSION = 8  # of the file format; the one that belongs to this opset
PRODUCER = "lerp-psa"

Shape = Sequence[int | str]  # a text is the name of a size that is free


class Graph:
    """Nodes and constants in the order in which they are added.

    Every node has one output, and the node's name is that of its output.
    """

    def __init__(self) -> None:
        self._onnx = load_onnx()
        self._nodes: list[Any] = []
        self._constants: dict[str, npt.NDArray[Any]] = {}
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []

    def input(self, name: str, dtype: npt.DTypeLike, shape: Shape) -> str:
        """Declare an input of the network; return its name."""
        self._inputs.append(self._declared(name, dtype, shape))
        return name

    def output(self, name: str, dtype: npt.DTypeLike, shape: Shape) -> None:
        """Declare the value `name` an output of the network."""
        self._outputs.append(self._declared(name, dtype, shape))

    def constant(self, name: str, values: npt.ArrayLike, dtype: npt.DTypeLike) -> str:
        """Add a constant, once for each name; return its name.

        ValueError if the name is that of other values, or if an integer type does not hold the
        values exactly, or float32 does not hold whole numbers exactly.
        """
        wanted = np.asarray(values)
        array = wanted.astype(dtype)
        whole = array.dtype.kind in "iu" or not (wanted % 1).any()
        if whole and not np.array_equal(array, wanted):
            raise ValueError(f"{name} has values that {array.dtype} does not hold exactly")
        kept = self._constants.setdefault(name, array)
        if kept.dtype != array.dtype or not np.array_equal(kept, array):
            raise ValueError(f"{name} is the name of two constants")
        return name

    def node(self, operator: str, inputs: Sequence[str], name: str, **attributes: object) -> str:
        """Add a node with one output called `name`; return that name."""
        node = self._onnx.helper.make_node(operator, inputs, [name], name, **attributes)
        self._nodes.append(node)
        return name

    def cast(self, x: str, dtype: npt.DTypeLike, name: str) -> str:
        """Add the conversion of a value to another type."""
        return self.node("Cast", [x], name, to=self._type(dtype))

    def reshape(self, x: str, shape: Sequence[int], name: str) -> str:
        """Add the reading of a value in another shape; one size may be -1."""
        return self.node("Reshape", [x, self.constant(f"{name}_shape", shape, np.int64)], name)

    def model(self, name: str, description: str, metadata: Mapping[str, str]) -> bytes:
        """Return the file's content; `description` and `metadata` are texts for its readers."""
        helper = self._onnx.helper
        from_array = self._onnx.numpy_helper.from_array
        constants = [from_array(array, key) for key, array in self._constants.items()]
        graph = helper.make_graph(self._nodes, name, self._inputs, self._outputs, constants)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name=PRODUCER,
            doc_string=description,
        )
        helper.set_model_props(model, dict(metadata))
        content: bytes = model.SerializeToString(deterministic=True)
        return content

    def _declared(self, name: str, dtype: npt.DTypeLike, shape: Shape) -> object:
        return self._onnx.helper.make_tensor_value_info(name, self._type(dtype), shape)

    def _type(self, dtype: npt.DTypeLike) -> int:
        return int(self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def load_onnx() -> ModuleType:
    """Return the package onnx; PipelineError if it is not installed."""
    try:
        import onnx
    except ImportError as error:
        raise missing_package("onnx") from error
    return onnx


def missing_package(name: str) -> PipelineError:
    """Return the error that says how to install a package of the extra `onnx`."""
    return PipelineError(
        f"The Python package {name} is not installed; run `make setup`, or `pip install -e .[onnx] "
        "-c constraints.txt` in the folder of the code."
    )
