"""Describe the streaming accelerator as a network of processes and FIFOs.

There is one process per function call in the DATAFLOW regions of hls/cpp/streaming and one FIFO per
stream variable; hls/cpp/streaming/README.md describes the same structure.
hls/plan/streaming/dataflow_simulation.py simulates the network,
hls/plan/streaming/fifo_depths.py sizes its FIFOs.

Assumptions about the C++ before synthesis: loops have II = 1 and start their next round without a
pause, and pipelines are as deep as `_LATENCY` says. These depths change the latency of an image by
some hundred cycles; the interval does not depend on them.
"""

from collections.abc import Sequence
from math import ceil, log2

import numpy as np

from hls.plan.sizes import Sizes, products
from hls.plan.streaming.folding import Folding, check_folding, output_lanes
from hls.plan.streaming.process_network import Access, Fifo, Process, ProcessNetwork

_LATENCY = {"move": 1, "table": 3, "affine": 4, "add": 1, "map": 2, "product": 4, "mean": 3}


def streaming_network(sizes: Sizes, folding: Folding) -> ProcessNetwork:
    """Return the process network of a streaming design; PipelineError for an impossible folding."""
    check_folding(folding, sizes)
    return _Builder(sizes, folding).build()


class _Builder:
    """Adds processes and FIFOs in the order of the C++ calls.

    A method that mirrors a C++ function has its name.
    """

    def __init__(self, sizes: Sizes, folding: Folding) -> None:
        self.sizes, self.folding, self.products = sizes, folding, products(sizes)
        self.network = ProcessNetwork()
        self.block = ""  # prefix of the names in the current block
        self.token_words = sizes.embed_dim // folding.lanes
        self.map_words = sizes.num_patches * self.token_words

    def build(self) -> ProcessNetwork:
        """Mirror resmlp_top."""
        patch_words = self.sizes.num_patches * self.sizes.patch_dim // self.folding.lanes
        self.each("source", patch_words, 0, [], [self.link("tokens")])
        self.linear("embed_linear", "tokens", self.link("embed_linear"))
        stream = "embed_linear"
        for index in range(self.sizes.num_blocks):
            self.block = f"blocks_{index}_"
            mixed = self.token_mixer(f"{self.block}token_mixer", stream)
            last = index == self.sizes.num_blocks - 1
            stream = self.link("blocks" if last else f"blocks_{index}_mlp")
            self.channel_mlp(f"{self.block}mlp", mixed, stream)
        self.block = ""
        self.mean(stream, self.link("mean"))
        self.linear("classifier_linear", "mean", self.link("logits", lanes=1))
        self.each("sink", self.sizes.num_classes, 0, ["logits"], [])
        return self.network

    def token_mixer(self, name: str, stream: str) -> str:
        """Mirror token_mixer; return the name of the output stream."""
        words, affine = self.map_words, _LATENCY["affine"]
        branch, shortcut = self.fork(name, "branch", "token_mixer_shortcut")
        scaled, mixed = self.link(f"{name}_affine_1"), self.link(f"{name}_linear")
        y, out = self.link(f"{name}_affine_2"), self.link(name)
        self.each(f"{name}_duplicate", words, _LATENCY["move"], [stream], [branch, shortcut])
        self.each(f"{name}_affine_1", words, affine, [branch], [scaled])
        self.token_linear(f"{name}_linear", scaled, mixed)
        self.each(f"{name}_affine_2", words, affine, [mixed], [y])
        self.each(f"{name}_residual", words, affine + _LATENCY["add"], [y, shortcut], [out])
        return out

    def channel_mlp(self, name: str, stream: str, out: str) -> None:
        """Mirror channel_mlp; duplicate also evaluates the act_in table."""
        words, tables = self.map_words, self.sizes.has_tables
        branch, shortcut = self.fork(name, "act_in", "mlp_shortcut")
        hidden, y = self.link(f"{name}_act_hidden"), self.link(f"{name}_linear_2")
        latency = _LATENCY["table" if tables else "move"]
        self.each(f"{name}_duplicate", words, latency, [stream], [branch, shortcut])
        self.linear("mlp_linear_1", branch, hidden, table=tables)
        self.linear("mlp_linear_2", hidden, y)
        residual = _LATENCY["affine"] + _LATENCY["add"]
        self.each(f"{name}_residual", words, residual, [y, shortcut], [out])

    def fork(self, name: str, branch: str, kind: str) -> tuple[str, str]:
        """Add the two FIFOs that duplicate writes; return their names (branch, shortcut)."""
        bits = 8 * self.folding.lanes
        return self.link(f"{name}_{branch}"), self.fifo(f"{name}_shortcut", kind, bits)

    def token_linear(self, name: str, stream: str, out: str) -> None:
        """Mirror token_linear: a transpose, the matrix product, the transpose back."""
        by_channel, mixed = self.link(f"{name}_by_channel"), self.link(f"{name}_mixed")
        self.transpose(f"{name}_transpose_in", stream, by_channel)
        self.linear("token_mixer_linear", by_channel, mixed)
        self.transpose(f"{name}_transpose_out", mixed, out)

    def transpose(self, name: str, stream: str, out: str) -> None:
        """Mirror transpose: fill stores a map while drain sends the previous one."""
        bits = 8 * self.sizes.num_patches * self.sizes.embed_dim
        filled = self.fifo(f"{name}_filled", "map", bits)
        free = self.fifo(f"{name}_free", "map", bits, initial=2)
        words = np.arange(self.map_words)
        first, last = words[:1], words[-1:]
        taken, given = (Access(free, first), Access(stream, words)), (Access(filled, last),)
        self.add(f"{name}_fill", self.map_words, 1, _LATENCY["move"], taken, given)
        whole, sent = (Access(filled, first),), (Access(out, words), Access(free, last))
        self.add(f"{name}_drain", self.map_words, 1, _LATENCY["map"], whole, sent)

    def linear(self, layer: str, stream: str, out: str, table: bool = False) -> None:
        """Mirror linear: pack collects the next vector while matrix_vector processes this one."""
        product, fold = self.products[layer], self.folding.fold(layer)
        name, handover, lanes = self.block + layer, self.folding.handover, self.folding.lanes
        vectors, inputs, outputs = product.vectors, product.inputs, product.outputs
        packed = self.link(f"{name}_packed", lanes=inputs)
        self.pack(layer, "pack", vectors, (lanes, inputs), stream, packed, handover)
        groups = np.arange(outputs // fold.pe)  # the `pe` outputs of a group finish together
        period = inputs // fold.simd
        result = self.result(layer, out)
        reads = (Access(packed, np.array([0])),)
        writes = (Access(result, handover + (groups + 1) * period - 1),)
        latency = _LATENCY["product"] + ceil(log2(fold.simd)) + (_LATENCY["table"] if table else 0)
        steps = handover + len(groups) * period
        self.add(f"{name}_matrix_vector", steps, vectors, latency, reads, writes, layer)
        self.regroup(layer, result, out)

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
        self.add(name, len(steps) + handover, words, _LATENCY["move"], reads, writes, layer)

    def unpack(
        self, layer: str, elements: int, widths: tuple[int, int], stream: str, out: str
    ) -> None:
        """Mirror unpack: split words of `many` elements into words of `few` (widths: many, few)."""
        many, few = widths
        steps = np.arange(many // few)
        reads, writes = (Access(stream, steps[:1]),), (Access(out, steps),)
        rounds, latency = elements // many, _LATENCY["move"]
        self.add(f"{self.block}{layer}_unpack", len(steps), rounds, latency, reads, writes, layer)

    def mean(self, stream: str, out: str) -> None:
        """Mirror mean: the averages are sent during the last token."""
        words = np.arange(self.map_words)
        reads, writes = (Access(stream, words),), (Access(out, words[-self.token_words :]),)
        self.add("mean", self.map_words, 1, _LATENCY["mean"], reads, writes)

    def each(
        self, name: str, words: int, latency: int, reads: Sequence[str], writes: Sequence[str]
    ) -> None:
        """Add a process that reads a word of each input and writes one to each output per cycle."""
        step = np.array([0])
        inputs, outputs = (tuple(Access(fifo, step) for fifo in side) for side in (reads, writes))
        self.add(name, 1, words, latency, inputs, outputs)

    def add(
        self,
        name: str,
        steps: int,
        rounds: int,
        latency: int,
        reads: tuple[Access, ...],
        writes: tuple[Access, ...],
        layer: str = "",
    ) -> None:
        """Add a process; without a `layer` it is a layer of its own, named after the process."""
        layer = layer or name.removeprefix(self.block)
        process = Process(name, layer, steps, rounds, latency, reads, writes)
        self.network.processes.append(process)

    def link(self, name: str, lanes: int | None = None) -> str:
        """Add a FIFO of kind link with `lanes` elements per word (default: the design's lanes)."""
        return self.fifo(name, "link", 8 * (self.folding.lanes if lanes is None else lanes))

    def fifo(self, name: str, kind: str, bits: int, initial: int = 0) -> str:
        """Add a FIFO with words of `bits` bits and `initial` words in it; return its name."""
        self.network.fifos[name] = Fifo(name, kind, bits, initial)
        return name
