"""Which memories are LUTs or block RAM, and which multipliers are DSPs or LUTs.

This is the one place that decides it: the estimate counts these choices
(hls/plan/streaming/resources.py), and design.hpp states them, so that the C++ binds each memory and
multiplier to them (hls/cpp/common/storage.hpp).

    memory       up to TOOL_LUT_BITS bits, or up to `lut_words` words: LUTs; else block RAM
    tables       the same rule; with `tables: lut` always LUTs
    link         always LUTs: shift registers of up to 32 words
    shortcut     up to TOOL_LUT_BITS bits or SRL_WORDS words: LUTs; else block RAM
    multipliers  with `dsp_share` None the tool chooses; else that share of the SIMD inputs of a
                 product (of the lanes of an affine) is bound to DSPs and the rest to LUTs

A block RAM of 18 kbit is worth some 300 LUTs (the U50 has 324 LUTs for each, a KV260 406). In LUTs
a memory of 256 words takes at most 144 LUTs for each block RAM that it saves, one of 512 words 288.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hls.plan.estimate import Memory, tool_dsps
from hls.plan.sizes import Product, Sizes, products
from hls.plan.streaming.folding import Fold, Folding

TOOL_LUT_BITS = 1024  # csynth builds a larger memory or FIFO of block RAM unless it is bound
SRL_WORDS = 32  # words of a shift register of one LUT per bit
SEGMENT_BITS = 17  # a knot and the slope to the next one
LUT, BRAM = "lut", "bram"


@dataclass(frozen=True)
class Binding:
    """The choices of a design; the defaults are those of a row of params.yaml without the keys.

    `dsp_share`: share of the multipliers that are bound to DSPs, 0 to 1; None: the tool's choice.
    `tables`: "bram" (by the general rule) or "lut". `lut_words`: the deepest memory built of LUTs.
    """

    dsp_share: float | None = None
    tables: str = BRAM
    lut_words: int = 256

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> "Binding":
        """Build a binding from the mapping that `asdict` makes of it."""
        return Binding(**values)

    def storage(self, memory: Memory) -> str:
        """Return what a memory is built of: LUT or BRAM."""
        small = memory.words * memory.bits <= TOOL_LUT_BITS or memory.words <= self.lut_words
        return LUT if small else BRAM

    def table_storage(self, memory: Memory) -> str:
        """Return what the ROMs of an activation's tables are built of."""
        return LUT if self.tables == LUT else self.storage(memory)

    def dsp_of(self, multipliers: int) -> int:
        """Return how many of the multipliers of one sum are DSPs: as bound, or as the tool does."""
        if self.dsp_share is None:
            return tool_dsps(multipliers)
        return round(self.dsp_share * multipliers)

    def affine_dsp(self, lanes: int) -> int:
        """Return how many of the multipliers of an affine are DSPs."""
        return 0 if self.dsp_share is None else self.dsp_of(lanes)


def shortcut_storage(depth: int, bits: int) -> str:
    """Return what a FIFO of a shortcut is built of."""
    return LUT if depth <= SRL_WORDS or depth * bits <= TOOL_LUT_BITS else BRAM


def weight_memory(product: Product, fold: Fold) -> Memory:
    """Return the memories of a product's weights: one per PE, a word holds SIMD weights."""
    return Memory(fold.pe, fold.compute_cycles(product), 8 * fold.simd)


def constant_memory(product: Product, fold: Fold) -> Memory:
    """Return the memories of a product's biases and shifts: a word holds those of PE outputs."""
    return Memory(2, product.outputs // fold.pe, 8 * fold.pe)


def affine_memory(sizes: Sizes, lanes: int) -> Memory:
    """Return the memories of an affine: weights, biases and shifts of `lanes` channels a word."""
    return Memory(3, sizes.embed_dim // lanes, 8 * lanes)


def map_memory(sizes: Sizes, lanes: int) -> Memory:
    """Return the memories of one map of a transpose: one per lane."""
    return Memory(lanes, sizes.num_patches * sizes.embed_dim // lanes**2, 8 * lanes)


def table_memories(sizes: Sizes, folding: Folding) -> dict[str, Memory]:
    """Return the ROMs of the tables by position, one per lane (act_in) or PE (act_hidden)."""
    lanes, pe = folding.lanes, folding.mlp_linear_1.pe
    return {
        "act_in": Memory(lanes, 64 * sizes.embed_dim // lanes, SEGMENT_BITS),
        "act_hidden": Memory(pe, 64 * sizes.hidden_dim // pe, SEGMENT_BITS),
    }


def storages(
    sizes: Sizes, folding: Folding, depths: Mapping[str, int], binding: Binding
) -> dict[str, str]:
    """Return LUT or BRAM for each kind of memory of a design, by name.

    The names are `<product>_weights`, `<product>_constants`, `affine`, `map`, `act_in`,
    `act_hidden` and the two kinds of shortcut; `depths` are the depths of the FIFOs in words.
    """
    found = {}
    for name, product in products(sizes).items():
        fold = folding.fold(name)
        found[f"{name}_weights"] = binding.storage(weight_memory(product, fold))
        found[f"{name}_constants"] = binding.storage(constant_memory(product, fold))
    found["affine"] = binding.storage(affine_memory(sizes, folding.lanes))
    found["map"] = binding.storage(map_memory(sizes, folding.lanes))
    for name, memory in table_memories(sizes, folding).items():
        found[name] = binding.table_storage(memory)
    for name in ("token_mixer_shortcut", "mlp_shortcut"):
        found[name] = shortcut_storage(depths[name], 8 * folding.lanes)
    return found
