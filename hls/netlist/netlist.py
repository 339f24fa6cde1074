"""Turn the process network of a streaming design into instances of the units of hls/rtl.

Each process becomes one instance and each FIFO one `fifo`, with two exceptions. The `pack` before a
matrix product, the FIFO of whole vectors and the vector registers become one `replay`. The two
processes of a transpose and the FIFOs that pass their maps become one `transpose`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from hls.netlist.memories import (
    AFFINE_CONSTANT_BITS,
    MATRIX_CONSTANT_BITS,
    SEGMENT_BITS,
    affine_constant_words,
    matrix_constant_words,
    mem_text,
    table_words,
    weight_words,
)
from hls.plan.streaming.process_network import Process, ProcessNetwork, Unit
from models.integer.params import IntLayer, IntResMlp, IntTable, published_name


@dataclass(frozen=True)
class Instance:
    """An instance of a module: its parameters, and the stream at each of its ports."""

    name: str
    module: str
    parameters: Mapping[str, int | str]
    ports: Mapping[str, str]


@dataclass(frozen=True)
class Netlist:
    """A design as instances and streams.

    `streams` maps the name of a valid/ready stream to its width in bits; `roms` maps the name of a
    file to its text. `tokens` and `logits` are the streams at the ports, `classes` the number of
    logits per image.
    """

    instances: list[Instance] = field(default_factory=list)
    streams: dict[str, int] = field(default_factory=dict)
    roms: dict[str, str] = field(default_factory=dict)
    tokens: str = "tokens_in"
    logits: str = "logits_out"
    classes: int = 0

    def rom_bits(self) -> int:
        """Return the bits of all ROMs, counted in the hexadecimal digits of their files."""
        return sum(4 * (len(text) - text.count("\n")) for text in self.roms.values())


def netlist(network: ProcessNetwork, depths: Mapping[str, int], weights: IntResMlp) -> Netlist:
    """Return the netlist of a design.

    `depths` are the FIFO depths in words by kind (hls.plan.design.Design.fifo_depths); `weights`
    are the integer parameters of the network that the design was planned for.
    """
    return _Builder(network, depths, weights).build()


class _Builder:
    def __init__(
        self, network: ProcessNetwork, depths: Mapping[str, int], weights: IntResMlp
    ) -> None:
        self.network, self.depths = network, depths
        self.leaves = {published_name(name): leaf for name, leaf in weights.leaves()}
        self.result = Netlist(classes=weights.num_classes)
        self.reader = {access.fifo: p for p in network.processes for access in p.reads}
        self.direct: set[str] = set()  # streams without a FIFO of their own

    def build(self) -> Netlist:
        """Add an instance per process, then a FIFO per stream."""
        for process in self.network.processes:
            for instance in self._instances(process):
                self.result.instances.append(instance)
        for fifo in self.network.fifos.values():
            if fifo.kind == "map":
                continue
            if fifo.name in self.direct:
                self.result.streams[fifo.name] = self._width(fifo.name)
                continue
            depth = self.depths[fifo.kind]
            before, after = f"{fifo.name}_in", f"{fifo.name}_out"
            self.result.streams[before] = self.result.streams[after] = fifo.word_bits
            parameters = {"WIDTH": fifo.word_bits, "DEPTH": depth}
            ports = {"in": before, "out": after}
            self.result.instances.append(Instance(fifo.name, "fifo", parameters, ports))
        return self.result

    def _instances(self, process: Process) -> Iterator[Instance]:
        unit = process.unit
        make: Mapping[str, Callable[[Process], Instance]] = {
            "duplicate": self._duplicate,
            "affine": self._affine,
            "residual": self._residual,
            "mean": self._mean,
            "fill": self._transpose,
            "pack": self._pack,
            "unpack": self._unpack,
            "matrix_vector": self._matrix_vector,
        }
        if unit.name in make:
            yield make[unit.name](process)

    def _duplicate(self, process: Process) -> Instance:
        sizes = process.unit.parameters
        parameters = _sizes(sizes, "channels", "lanes") | self._table(process.unit, sizes["lanes"])
        (taken,), (branch, shortcut) = self._reads(process), self._writes(process)
        return Instance(
            process.name,
            "duplicate",
            parameters,
            {"in": taken, "branch": branch, "shortcut": shortcut},
        )

    def _affine(self, process: Process) -> Instance:
        parameters = self._affine_parameters(process.unit)
        (taken,), (sent,) = self._reads(process), self._writes(process)
        return Instance(f"{process.name}_unit", "affine", parameters, {"in": taken, "out": sent})

    def _residual(self, process: Process) -> Instance:
        parameters = self._affine_parameters(process.unit)
        (branch, shortcut), (sent,) = self._reads(process), self._writes(process)
        ports = {"branch": branch, "shortcut": shortcut, "out": sent}
        return Instance(process.name, "residual", parameters, ports)

    def _mean(self, process: Process) -> Instance:
        parameters = _sizes(process.unit.parameters, "vectors", "channels", "lanes")
        (taken,), (sent,) = self._reads(process), self._writes(process)
        return Instance(f"{process.name}_unit", "mean", parameters, {"in": taken, "out": sent})

    def _transpose(self, process: Process) -> Instance:
        """Join `fill` with the `drain` that reads its maps."""
        (filled,) = (access.fifo for access in process.writes)
        drain = self.reader[filled]
        (taken,) = (name for name in self._reads(process) if name)
        (sent,) = (name for name in self._writes(drain) if name)
        parameters = _sizes(process.unit.parameters, "rows", "columns", "lanes")
        name = process.name.removesuffix("_fill")
        return Instance(name, "transpose", parameters, {"in": taken, "out": sent})

    def _pack(self, process: Process) -> Instance:
        sizes = process.unit.parameters
        wide = process.writes[0].fifo
        after = self.reader[wide].unit
        if after.name != "matrix_vector":
            (taken,), (sent,) = self._reads(process), self._writes(process)
            parameters = {"FROM": sizes["narrow"], "TO": sizes["wide"]}
            return Instance(process.name, "pack", parameters, {"in": taken, "out": sent})
        self.direct.add(wide)
        product = after.parameters
        parameters = {
            "INPUTS": product["inputs"],
            "LANES": sizes["narrow"],
            "SIMD": product["simd"],
            "TIMES": product["outputs"] // product["pe"],
            "HANDOVER": product["handover"],
        }
        (taken,) = self._reads(process)
        name = f"{process.name.removesuffix('_pack')}_replay"
        return Instance(name, "replay", parameters, {"in": taken, "out": wide})

    def _unpack(self, process: Process) -> Instance:
        sizes = process.unit.parameters
        (taken,), (sent,) = self._reads(process), self._writes(process)
        parameters = {"FROM": sizes["wide"], "TO": sizes["narrow"]}
        return Instance(process.name, "unpack", parameters, {"in": taken, "out": sent})

    def _matrix_vector(self, process: Process) -> Instance:
        unit = process.unit
        pe, simd = unit.parameters["pe"], unit.parameters["simd"]
        layer = self._layer(unit)
        weights, constants = weight_words(layer.w, pe, simd), matrix_constant_words(layer, pe)
        parameters: dict[str, int | str] = {
            **_sizes(unit.parameters, "inputs", "outputs", "pe", "simd"),
            "WEIGHTS": self._rom(f"{unit.layer}_w", weights, 8 * pe * simd),
            "CONSTANTS": self._rom(f"{unit.layer}_bs", constants, MATRIX_CONSTANT_BITS * pe),
        }
        if unit.activation == "relu":
            parameters["RELU"] = 1
        parameters |= self._table(unit, pe)
        (sent,) = self._writes(process)
        ports = {"in": process.reads[0].fifo, "out": sent}
        return Instance(process.name, "matrix_vector", parameters, ports)

    def _affine_parameters(self, unit: Unit) -> dict[str, int | str]:
        lanes = unit.parameters["lanes"]
        words = affine_constant_words(self._layer(unit), lanes)
        rom = self._rom(f"{unit.layer}_wbs", words, AFFINE_CONSTANT_BITS * lanes)
        return {**_sizes(unit.parameters, "channels", "lanes"), "CONSTANTS": rom}

    def _table(self, unit: Unit, lanes: int) -> dict[str, int | str]:
        """Add the ROMs of a unit's table, if it has one; return the parameters that name them."""
        if not unit.table:
            return {}
        table = self.leaves[unit.table]
        assert isinstance(table, IntTable)
        for lane, words in enumerate(table_words(table, lanes)):
            self._rom(f"{unit.table}_{lane:02}", words, SEGMENT_BITS)
        return {"HAS_TABLE": 1, "TABLE": unit.table}

    def _rom(self, name: str, words: list[int], bits: int) -> str:
        file = f"{name}.mem"
        self.result.roms[file] = mem_text(words, bits)
        return file

    def _layer(self, unit: Unit) -> IntLayer:
        layer = self.leaves[unit.layer]
        assert isinstance(layer, IntLayer)
        return layer

    def _reads(self, process: Process) -> list[str]:
        return [f"{a.fifo}_out" if self._is_stream(a.fifo) else "" for a in process.reads]

    def _writes(self, process: Process) -> list[str]:
        return [f"{a.fifo}_in" if self._is_stream(a.fifo) else "" for a in process.writes]

    def _is_stream(self, fifo: str) -> bool:
        return self.network.fifos[fifo].kind != "map"

    def _width(self, fifo: str) -> int:
        """Return the bits of a word that `replay` sends."""
        return 8 * self.reader[fifo].unit.parameters["simd"]


def _sizes(parameters: Mapping[str, int], *names: str) -> dict[str, int | str]:
    return {name.upper(): parameters[name] for name in names}
