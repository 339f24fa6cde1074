"""Describe the streaming accelerator as a network of processes and FIFOs.

There is one process per unit of hls/cpp/streaming and one FIFO per stream variable;
hls/cpp/streaming/README.md describes the same structure. Each process names its unit and the unit's
parameters, so this list is the netlist of the design. hls/plan/streaming/dataflow_simulation.py
simulates the network, hls/plan/streaming/fifo_depths.py sizes its FIFOs.

Assumptions about the C++ before synthesis: loops have II = 1, words appear after `_LATENCY`, and
pipelines flush (style = flp). A process that flushes starts an image only after the one before has
left its pipeline: `PAUSE` cycles after its last trip. The latencies change the latency of an image
by some hundred cycles; the interval does not depend on them.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from math import ceil, log2

import numpy as np

from hls.plan.sizes import Sizes, products
from hls.plan.streaming.folding import Folding, check_folding, output_lanes
from hls.plan.streaming.process_network import Access, Fifo, Process, ProcessNetwork, Unit

_LATENCY = {"move": 1, "table": 3, "affine": 4, "add": 1, "map": 2, "product": 4, "mean": 3}
# Cycles of a process between two images: the 20 to 25 stages of a product's pipeline, less for
# other units, and 2 cycles to start again. Where it matters, products are the slowest processes.
PAUSE = 25

REGIONS = frozenset({"transpose"})  # the C++ functions that are dataflow regions below the top
# Every function of several units, as if each were a region of its own.
NESTED_REGIONS = frozenset(
    [
        "blocks",
        "block",
        "token_mixer",
        "channel_mlp",
        "token_linear",
        "linear",
        "regroup",
        "transpose",
    ]
)


def streaming_network(
    sizes: Sizes, folding: Folding, regions: Collection[str] = REGIONS
) -> ProcessNetwork:
    """Return the process network of a streaming design; PipelineError for an impossible folding.

    `regions` are the functions that are dataflow regions, by default those of the C++.
    """
    check_folding(folding, sizes)
    return _Builder(sizes, folding, regions).build()


class _Builder:
    """Adds processes and FIFOs in the order of the C++ calls.

    A method that mirrors a C++ function has its name.
    """

    def __init__(self, sizes: Sizes, folding: Folding, regions: Collection[str]) -> None:
        self.sizes, self.folding, self.products = sizes, folding, products(sizes)
        self.regions = regions
        self.network = ProcessNetwork()
        self.block = ""  # prefix of the names in the current block
        self.region: tuple[str, ...] = ()  # path of the current region
        self.token_words = sizes.embed_dim // folding.lanes
        self.map_words = sizes.num_patches * self.token_words

    def build(self) -> ProcessNetwork:
        """Mirror resmlp_top."""
        lanes = self.folding.lanes
        patch_words = self.sizes.num_patches * self.sizes.patch_dim // lanes
        self.port("source", patch_words, lanes, [], [self.link("tokens")])
        self.linear("embed_linear", "tokens", self.link("embed_linear"))
        stream = self.blocks("embed_linear")
        self.block = ""
        self.mean(stream, self.link("mean"))
        self.linear("classifier_linear", "mean", self.link("logits", lanes=1))
        self.port("sink", self.sizes.num_classes, 1, ["logits"], [])
        return self.network

    def blocks(self, stream: str) -> str:
        """Mirror Blocks, which contains itself; return the name of the output stream."""
        with ExitStack() as later_blocks:
            for index in range(self.sizes.num_blocks):
                self.block = f"blocks_{index}_"
                later_blocks.enter_context(self.inside("blocks", self.block))
                last = index == self.sizes.num_blocks - 1
                out = self.link("blocks" if last else f"blocks_{index}_mlp")
                with self.inside("block", self.block):
                    mixed = self.token_mixer(f"{self.block}token_mixer", stream)
                    self.channel_mlp(f"{self.block}mlp", mixed, out)
                stream = out
        return stream

    def token_mixer(self, name: str, stream: str) -> str:
        """Mirror token_mixer; return the name of the output stream."""
        with self.inside("token_mixer", name):
            branch, shortcut = self.fork(name, "branch", "token_mixer_shortcut")
            scaled, mixed = self.link(f"{name}_affine_1"), self.link(f"{name}_linear")
            y, out = self.link(f"{name}_affine_2"), self.link(name)
            self.per_word(f"{name}_duplicate", "duplicate", "move", [stream], [branch, shortcut])
            self.per_word(f"{name}_affine_1", "affine", "affine", [branch], [scaled])
            self.token_linear(f"{name}_linear", scaled, mixed)
            self.per_word(f"{name}_affine_2", "affine", "affine", [mixed], [y])
            self.residual(name, [y, shortcut], out)
        return out

    def channel_mlp(self, name: str, stream: str, out: str) -> None:
        """Mirror channel_mlp; duplicate also evaluates the act_in table."""
        with self.inside("channel_mlp", name):
            branch, shortcut = self.fork(name, "act_in", "mlp_shortcut")
            hidden, y = self.link(f"{name}_act_hidden"), self.link(f"{name}_linear_2")
            tables = self.sizes.has_tables
            latency = "table" if tables else "move"
            self.per_word(
                f"{name}_duplicate",
                "duplicate",
                latency,
                [stream],
                [branch, shortcut],
                table=f"{name}_psa_1" if tables else "",
            )
            table = f"{name}_psa_2" if tables else ""
            self.linear("mlp_linear_1", branch, hidden, "table" if tables else "relu", table)
            self.linear("mlp_linear_2", hidden, y)
            self.residual(name, [y, shortcut], out)

    def fork(self, name: str, branch: str, kind: str) -> tuple[str, str]:
        """Add the two FIFOs that duplicate writes; return their names (branch, shortcut)."""
        bits = 8 * self.folding.lanes
        return self.link(f"{name}_{branch}"), self.fifo(f"{name}_shortcut", kind, bits)

    def residual(self, name: str, reads: Sequence[str], out: str) -> None:
        """Mirror residual, whose arrays are called res_affine."""
        latency = _LATENCY["affine"] + _LATENCY["add"]
        unit = self.map_unit("residual", f"{name}_res_affine")
        self.each(f"{name}_residual", self.map_words, latency, reads, [out], unit)

    def token_linear(self, name: str, stream: str, out: str) -> None:
        """Mirror token_linear: a transpose, the matrix product, the transpose back."""
        tokens, channels = self.sizes.num_patches, self.sizes.embed_dim
        with self.inside("token_linear", name):
            by_channel, mixed = self.link(f"{name}_by_channel"), self.link(f"{name}_mixed")
            self.transpose(f"{name}_transpose_in", (tokens, channels), stream, by_channel)
            self.linear("token_mixer_linear", by_channel, mixed)
            self.transpose(f"{name}_transpose_out", (channels, tokens), mixed, out)

    def transpose(self, name: str, shape: tuple[int, int], stream: str, out: str) -> None:
        """Mirror transpose: fill stores a map while drain sends the previous one."""
        rows, columns = shape
        sizes = {"rows": rows, "columns": columns, "lanes": self.folding.lanes}
        bits = 8 * rows * columns
        with self.inside("transpose", name):
            filled = self.fifo(f"{name}_filled", "map", bits)
            free = self.fifo(f"{name}_free", "map", bits, initial=2)
            words = np.arange(self.map_words)
            first, last = words[:1], words[-1:]
            taken, given = (Access(free, first), Access(stream, words)), (Access(filled, last),)
            fill, drain = Unit("fill", sizes), Unit("drain", sizes)
            self.add(f"{name}_fill", self.map_words, 1, _LATENCY["move"], taken, given, fill)
            whole, sent = (Access(filled, first),), (Access(out, words), Access(free, last))
            self.add(f"{name}_drain", self.map_words, 1, _LATENCY["map"], whole, sent, drain)

    def linear(
        self, layer: str, stream: str, out: str, activation: str = "identity", table: str = ""
    ) -> None:
        """Mirror linear: pack collects the next vector while matrix_vector processes this one."""
        with self.inside("linear", self.block + layer):
            packed = self.link(f"{self.block}{layer}_packed", lanes=self.products[layer].inputs)
            vectors, inputs = self.products[layer].vectors, self.products[layer].inputs
            lanes, handover = self.folding.lanes, self.folding.handover
            self.pack(layer, "pack", vectors, (lanes, inputs), stream, packed, handover)
            result = self.result(layer, out)
            self.matrix_vector(layer, packed, result, activation, table)
            with self.inside("regroup", self.block + layer):
                self.regroup(layer, result, out)

    def matrix_vector(self, layer: str, stream: str, out: str, activation: str, table: str) -> None:
        """Mirror matrix_vector; the `pe` outputs of a group finish together."""
        product, fold = self.products[layer], self.folding.fold(layer)
        name, handover = self.block + layer, self.folding.handover
        groups, period = np.arange(product.outputs // fold.pe), product.inputs // fold.simd
        reads = (Access(stream, np.array([0])),)
        writes = (Access(out, handover + (groups + 1) * period - 1),)
        latency = _LATENCY["product"] + ceil(log2(fold.simd)) + (_LATENCY["table"] if table else 0)
        steps = handover + len(groups) * period
        sizes = {
            "vectors": product.vectors,
            "inputs": product.inputs,
            "outputs": product.outputs,
            "pe": fold.pe,
            "simd": fold.simd,
            "handover": handover,
        }
        unit = Unit("matrix_vector", sizes, name, activation, table)
        self.add(
            f"{name}_matrix_vector", steps, product.vectors, latency, reads, writes, unit, layer
        )

    def result(self, layer: str, out: str) -> str:
        """Return the stream that matrix_vector writes: `out` if pe = lanes, else a new FIFO."""
        pe = self.folding.fold(layer).pe
        if pe == output_lanes(layer, self.folding):
            return out
        return self.link(f"{self.block}{layer}_groups", lanes=pe)

    def regroup(self, layer: str, stream: str, out: str) -> None:
        """Mirror Regroup: convert words of `pe` elements to words of the output's lanes."""
        product, pe = self.products[layer], self.folding.fold(layer).pe
        lanes, elements = output_lanes(layer, self.folding), product.vectors * product.outputs
        if pe == lanes:
            return
        if pe % lanes == 0:
            self.unpack(layer, elements, (pe, lanes), stream, out)
        elif lanes % pe == 0:
            self.pack(layer, "pack_groups", elements // lanes, (pe, lanes), stream, out)
        else:
            outputs = product.outputs
            results = self.link(f"{self.block}{layer}_results", lanes=outputs)
            self.pack(layer, "pack_groups", product.vectors, (pe, outputs), stream, results)
            self.unpack(layer, elements, (outputs, lanes), results, out)

    def pack(
        self,
        layer: str,
        part: str,
        words: int,
        widths: tuple[int, int],
        stream: str,
        out: str,
        handover: int = 0,
    ) -> None:
        """Mirror pack: join words of `few` elements into words of `many`; widths = (few, many)."""
        few, many = widths
        steps = np.arange(many // few)
        reads, writes = (Access(stream, steps),), (Access(out, steps[-1:] + handover),)
        name = f"{self.block}{layer}_{part}"
        sizes = {"words": words, "narrow": few, "wide": many, "handover": handover}
        cycles, latency = len(steps) + handover, _LATENCY["move"]
        self.add(name, cycles, words, latency, reads, writes, Unit("pack", sizes), layer)

    def unpack(
        self, layer: str, elements: int, widths: tuple[int, int], stream: str, out: str
    ) -> None:
        """Mirror unpack: split words of `many` elements into words of `few` (widths: many, few)."""
        many, few = widths
        steps, rounds = np.arange(many // few), elements // many
        reads, writes = (Access(stream, steps[:1]),), (Access(out, steps),)
        unit = Unit("unpack", {"words": rounds, "wide": many, "narrow": few})
        name, latency = f"{self.block}{layer}_unpack", _LATENCY["move"]
        self.add(name, len(steps), rounds, latency, reads, writes, unit, layer)

    def mean(self, stream: str, out: str) -> None:
        """Mirror mean: the averages are sent during the last token."""
        words = np.arange(self.map_words)
        reads, writes = (Access(stream, words),), (Access(out, words[-self.token_words :]),)
        unit = self.map_unit("mean")
        self.add("mean", self.map_words, 1, _LATENCY["mean"], reads, writes, unit)

    def per_word(
        self,
        name: str,
        unit: str,
        latency: str,
        reads: Sequence[str],
        writes: Sequence[str],
        table: str = "",
    ) -> None:
        """Add a unit that treats all words of a map alike; `latency` is a key of _LATENCY."""
        layer = name if unit == "affine" else ""
        described = self.map_unit(unit, layer, "table" if table else "identity", table)
        self.each(name, self.map_words, _LATENCY[latency], reads, writes, described)

    def map_unit(
        self, name: str, layer: str = "", activation: str = "identity", table: str = ""
    ) -> Unit:
        """Return a unit that takes all channels of all tokens, `lanes` at a time."""
        sizes = {
            "vectors": self.sizes.num_patches,
            "channels": self.sizes.embed_dim,
            "lanes": self.folding.lanes,
        }
        return Unit(name, sizes, layer, activation, table)

    def port(
        self, name: str, words: int, lanes: int, reads: Sequence[str], writes: Sequence[str]
    ) -> None:
        """Add the outside of a port of the design, which is always ready."""
        self.each(name, words, 0, reads, writes, Unit(name, {"words": words, "lanes": lanes}))

    def each(
        self,
        name: str,
        words: int,
        latency: int,
        reads: Sequence[str],
        writes: Sequence[str],
        unit: Unit,
    ) -> None:
        """Add a process that reads a word of each input and writes one to each output per cycle."""
        step = np.array([0])
        inputs, outputs = (tuple(Access(fifo, step) for fifo in side) for side in (reads, writes))
        self.add(name, 1, words, latency, inputs, outputs, unit)

    def add(
        self,
        name: str,
        steps: int,
        rounds: int,
        latency: int,
        reads: tuple[Access, ...],
        writes: tuple[Access, ...],
        unit: Unit,
        layer: str = "",
    ) -> None:
        """Add a process; without a `layer` it is a layer of its own, named after the process."""
        layer = layer or name.removeprefix(self.block)
        pause = 0 if unit.name in ("source", "sink") else PAUSE
        process = Process(
            name, layer, steps, rounds, latency, reads, writes, pause, self.region, unit
        )
        self.network.processes.append(process)

    @contextmanager
    def inside(self, function: str, name: str) -> Iterator[None]:
        """Enter a region if `function` is one; `name` tells its calls apart."""
        before = self.region
        if function in self.regions:
            self.region = (*before, f"{function} {name}")
        yield
        self.region = before

    def link(self, name: str, lanes: int | None = None) -> str:
        """Add a FIFO of kind link with `lanes` elements per word (default: the design's lanes)."""
        return self.fifo(name, "link", 8 * (self.folding.lanes if lanes is None else lanes))

    def fifo(self, name: str, kind: str, bits: int, initial: int = 0) -> str:
        """Add a FIFO with words of `bits` bits and `initial` words in it; return its name."""
        self.network.fifos[name] = Fifo(name, kind, bits, initial)
        return name
