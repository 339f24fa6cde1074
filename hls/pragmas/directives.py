"""The directives of Vitis HLS that this project may use, with their options and allowed values.

The source is the chapter "HLS Pragmas" of UG1399, version 2025.2 (document of 2026-01-22). Names
and values are in lower case; the tool ignores the case. An option is written `name=value`. The
values of some enumerations may also stand alone (`array_partition ... cyclic`), as in the manuals
up to 2021.2; later versions still accept that.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

VERSION = "UG1399 2025.2"

# Kinds of values that are no enumeration.
INTEGER, VARIABLE, ARGUMENT, NAME = "integer", "variable", "argument", "name"

# Places: directly in the body of a function or a loop; or in any block of a function.
FUNCTION, LOOP, ANYWHERE = "the body of a function", "the body of a loop", "a function"


@dataclass(frozen=True)
class Option:
    """An option: the kind of its values, or all values that are allowed.

    `least` is the smallest integer. A `bare` value may stand without the name of the option.
    """

    kind: str = ""
    values: tuple[str, ...] = ()
    least: int = 0
    bare: bool = False


@dataclass(frozen=True)
class Directive:
    """A directive: where it may stand, its options by name, and its flags, which have no value.

    `first`: it stands before the first statement of its block, so that its place is unambiguous.
    One of `one_of` must be given, and all of `required`.
    """

    places: tuple[str, ...]
    options: Mapping[str, Option] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()
    first: bool = False


def _values(*values: str, bare: bool = False) -> Option:
    return Option(values=values, bare=bare)


_TRUTH = _values("true", "false")
_ANY, _POSITIVE = Option(INTEGER), Option(INTEGER, least=1)
_ARRAY = {
    "variable": Option(VARIABLE),
    "type": _values("complete", "cyclic", "block", bare=True),
    "factor": _POSITIVE,
    "dim": _ANY,
    "off": _TRUTH,
}
_VARIABLE = {"variable": Option(VARIABLE)}

MEMORY_TYPES = (
    *("ram_1p", "ram_1wnr", "ram_2p", "ram_s2p", "ram_t2p"),
    *("rom_1p", "rom_2p", "rom_np"),
)
RAM_IMPLEMENTATIONS = ("auto", "bram", "bram_ecc", "lutram", "uram", "uram_ecc")
FIFO_IMPLEMENTATIONS = ("auto", "bram", "lutram", "memory", "srl", "uram")
IMPLEMENTATIONS = {
    "fifo": FIFO_IMPLEMENTATIONS,
    **dict.fromkeys(MEMORY_TYPES, RAM_IMPLEMENTATIONS),
    **dict.fromkeys(
        (name for name in MEMORY_TYPES if name.startswith("rom")),
        tuple(name for name in RAM_IMPLEMENTATIONS if not name.endswith("_ecc")),
    ),
}
LATENCIES = {"fifo": 4, **dict.fromkeys(MEMORY_TYPES, 3)}  # the longest of an implementation

_BLOCK_MODES = ("ap_ctrl_none", "ap_ctrl_hs", "ap_ctrl_chain")
_PORT_MODES = (
    *("ap_none", "ap_vld", "ap_ack", "ap_hs", "ap_ovld", "ap_memory", "bram", "ap_fifo"),
    *("s_axilite", "m_axi", "axis"),
)
BLOCK_MODES = frozenset(_BLOCK_MODES)
# Which modes take an option; the options that are not listed go with every mode.
MODES_OF_OPTION = {
    "bundle": {"m_axi", "s_axilite"},
    "channel": {"m_axi"},
    "clock": {"s_axilite"},
    "max_read_burst_length": {"m_axi"},
    "max_write_burst_length": {"m_axi"},
    "max_widen_bitwidth": {"m_axi"},
    "num_read_outstanding": {"m_axi"},
    "num_write_outstanding": {"m_axi"},
    "offset": {"m_axi", "s_axilite"},
    "latency": {"m_axi", "ap_memory", "bram"},
    "register_mode": {"axis"},
    "storage_impl": {"s_axilite"},
    "storage_type": {"ap_memory", "bram"},
    "depth": {"m_axi", "axis", "ap_fifo", "ap_memory", "bram"},
    "interrupt": {"ap_vld", "ap_hs"},
}
M_AXI_OFFSETS = ("off", "direct", "slave")

_OPS = (
    *("mul", "add", "sub"),
    *("fadd", "fsub", "fmul", "fdiv", "fexp", "flog", "fsqrt", "frsqrt", "frecip"),
    *("dadd", "dsub", "dmul", "ddiv", "dexp", "dlog", "dsqrt", "drsqrt", "drecip"),
    *("hadd", "hsub", "hmul", "hdiv", "hsqrt"),
)
INTEGER_OPS, INTEGER_IMPLEMENTATIONS = ("mul", "add", "sub"), ("fabric", "dsp")

DIRECTIVES: Mapping[str, Directive] = {
    "aggregate": Directive(
        (ANYWHERE,),
        {**_VARIABLE, "compact": _values("bit", "byte", "none", "auto")},
        required=("variable",),
    ),
    "allocation": Directive(
        (ANYWHERE,),
        {
            "type": _values("function", "operation", bare=True),
            "instances": Option(NAME),
            "limit": _POSITIVE,
        },
        required=("type", "instances", "limit"),
    ),
    "array_partition": Directive((ANYWHERE,), _ARRAY, required=("variable",)),
    "array_reshape": Directive((ANYWHERE,), _ARRAY, ("object",), required=("variable",)),
    "array_stencil": Directive((LOOP,), _VARIABLE, ("off",), required=("variable",)),
    "bind_op": Directive(
        (ANYWHERE,),
        {
            **_VARIABLE,
            "op": _values(*_OPS),
            "impl": _values("fabric", "dsp", "meddsp", "fulldsp", "maxdsp", "primitivedsp"),
            "latency": Option(INTEGER, least=-1),
        },
        required=("variable", "op"),
    ),
    "bind_storage": Directive(
        (ANYWHERE,),
        {
            **_VARIABLE,
            "type": _values("fifo", *MEMORY_TYPES),
            "impl": _values(*sorted({*RAM_IMPLEMENTATIONS, *FIFO_IMPLEMENTATIONS})),
            "latency": _POSITIVE,
        },
        required=("variable", "type"),
    ),
    "dataflow": Directive((FUNCTION, LOOP), flags=("disable_start_propagation",), first=True),
    "dependence": Directive(
        (FUNCTION, LOOP),
        {
            **_VARIABLE,
            "class": _values("array", "pointer", bare=True),
            "type": _values("intra", "inter", bare=True),
            "direction": _values("raw", "war", "waw", bare=True),
            "distance": _POSITIVE,
            "dependent": _values("true", "false", bare=True),
        },
        required=("dependent",),
        one_of=("variable", "class"),
    ),
    "disaggregate": Directive((ANYWHERE,), _VARIABLE, required=("variable",)),
    "expression_balance": Directive((ANYWHERE,), flags=("off",)),
    "function_instantiate": Directive(
        (FUNCTION,), {"variable": Option(ARGUMENT)}, required=("variable",)
    ),
    "inline": Directive((FUNCTION,), flags=("off", "recursive"), first=True),
    "interface": Directive(
        (FUNCTION,),
        {
            "mode": _values(*_PORT_MODES, *_BLOCK_MODES, bare=True),
            "port": Option(ARGUMENT),
            "bundle": Option(NAME),
            "channel": Option(NAME),
            "clock": Option(NAME),
            "depth": _POSITIVE,
            "direct_io": _TRUTH,
            "interrupt": Option(INTEGER, least=16),
            "latency": _ANY,
            "max_read_burst_length": _POSITIVE,
            "max_write_burst_length": _POSITIVE,
            "max_widen_bitwidth": _ANY,
            "name": Option(NAME),
            "num_read_outstanding": _POSITIVE,
            "num_write_outstanding": _POSITIVE,
            "offset": Option(NAME),
            "register_mode": _values("forward", "fwd", "reverse", "rev", "both", "off"),
            "storage_impl": _values("auto", "bram", "uram"),
            "storage_type": _values(*MEMORY_TYPES),
        },
        ("register", "autorestart"),
        required=("mode", "port"),
        first=True,
    ),
    "latency": Directive((ANYWHERE,), {"min": _ANY, "max": _ANY}, one_of=("min", "max")),
    "loop_flatten": Directive((LOOP,), flags=("off",), first=True),
    "loop_merge": Directive((ANYWHERE,), flags=("force",)),
    "loop_tripcount": Directive(
        (LOOP,),
        {"min": _ANY, "max": _ANY, "avg": _ANY},
        one_of=("min", "max", "avg"),
        first=True,
    ),
    "occurrence": Directive((ANYWHERE,), {"cycle": _POSITIVE, "off": _TRUTH}, required=("cycle",)),
    "performance": Directive(
        (FUNCTION, LOOP),
        {"target_ti": _POSITIVE, "unit": _values("sec", "cycle")},
        required=("target_ti",),
    ),
    "pipeline": Directive(
        (FUNCTION, LOOP),
        {"ii": _POSITIVE, "style": _values("stp", "frp", "flp"), "rewind": _TRUTH},
        ("off", "rewind"),
        first=True,
    ),
    "protocol": Directive((ANYWHERE,), {"mode": _values("floating", "fixed", bare=True)}),
    "reset": Directive((ANYWHERE,), _VARIABLE, ("off",), required=("variable",)),
    "stable": Directive(
        (FUNCTION,), {"variable": Option(ARGUMENT)}, ("off",), required=("variable",)
    ),
    "stream": Directive(
        (ANYWHERE,),
        {
            **_VARIABLE,
            "type": _values("fifo", "pipo", "shared", "unsync"),
            "depth": _POSITIVE,
        },
        required=("variable",),
    ),
    "top": Directive((FUNCTION,), {"name": Option(NAME)}, required=("name",)),
    "unroll": Directive(
        (LOOP,), {"factor": _POSITIVE, "off": _TRUTH}, ("skip_exit_check", "off"), first=True
    ),
}
# Directives of older tools, and what replaced them.
REPLACED = {
    "resource": "BIND_STORAGE or BIND_OP",
    "data_pack": "AGGREGATE",
    "array_map": "nothing",
    "unroll_factor": "UNROLL factor",
    "loop_unroll": "UNROLL",
}
