"""The rules for single directives, beyond the allowed values of their options."""

from collections.abc import Callable, Mapping

from hls.board.folder import AXIS, MOVERS
from hls.cpp.accelerators import ACCELERATORS
from hls.pragmas import directives as known
from hls.pragmas.source import Pragma
from hls.pragmas.written import Written, Wrong

TOPS = frozenset(
    [*(accelerator.top for accelerator in ACCELERATORS.values()), AXIS]
    + [mover.removesuffix(".cpp") for mover in MOVERS]
)


def _check_array(pragma: Pragma, written: Written) -> None:
    kind = written.value("type") or "complete"
    if kind == "complete" and "factor" in written.values:
        raise Wrong(f"{written.name.upper()} complete takes no factor.")
    if kind != "complete" and "factor" not in written.values:
        raise Wrong(f"{written.name.upper()} {kind} needs the option 'factor'.")


def _check_storage(pragma: Pragma, written: Written) -> None:
    kind, impl = written.value("type"), written.value("impl")
    allowed = known.IMPLEMENTATIONS[kind]
    if impl and impl not in allowed:
        raise Wrong(f"BIND_STORAGE has no {impl} for a {kind}, but {', '.join(allowed)}.")
    latency, most = written.value("latency"), known.LATENCIES[kind]
    if latency.isdigit() and int(latency) > most:
        raise Wrong(f"the latency of a {kind} is at most {most}.")
    function = pragma.function
    if function and function.name in TOPS and written.values["variable"] in function.arguments:
        raise Wrong("a port is bound by storage_type of INTERFACE, not by BIND_STORAGE.")


def _check_operation(pragma: Pragma, written: Written) -> None:
    if written.value("op") not in known.INTEGER_OPS:
        return
    impl, latency = written.value("impl"), written.value("latency")
    if impl and impl not in known.INTEGER_IMPLEMENTATIONS:
        raise Wrong(f"BIND_OP has no {impl} for integers, but fabric and dsp.")
    if latency.isdigit() and int(latency) > 4:
        raise Wrong("the latency of an integer operation is at most 4.")


def _check_dependence(pragma: Pragma, written: Written) -> None:
    if {"variable", "class"} <= set(written.values):
        raise Wrong("DEPENDENCE takes a variable or a class, not both.")
    if "." in written.values.get("variable", ""):
        raise Wrong("DEPENDENCE cannot name an element of a struct.")
    if "distance" in written.values and written.value("dependent") != "true":
        raise Wrong("DEPENDENCE has a distance only if it is true.")
    if written.value("type") == "intra" and {"distance", "direction"} & set(written.values):
        raise Wrong("DEPENDENCE intra has neither distance nor direction.")


def _check_interface(pragma: Pragma, written: Written) -> None:
    mode, port = written.value("mode"), written.values["port"]
    function = pragma.function
    if function and function.name not in TOPS:
        raise Wrong(f"INTERFACE is for a top function, and {function.name} is none.")
    if mode in known.BLOCK_MODES and port != "return":
        raise Wrong(f"INTERFACE {mode} is for the port return.")
    if port == "return" and mode not in known.BLOCK_MODES and mode != "s_axilite":
        raise Wrong(f"INTERFACE {mode} is not for the port return.")
    for option in written.values:
        modes = known.MODES_OF_OPTION.get(option)
        if modes and mode not in modes:
            raise Wrong(f"INTERFACE {mode} has no option {option!r}.")
    offset = written.value("offset")
    if mode == "m_axi" and offset and offset not in known.M_AXI_OFFSETS:
        raise Wrong(f"the offset of m_axi is {', '.join(known.M_AXI_OFFSETS)}, not {offset}.")


def _check_pipeline(pragma: Pragma, written: Written) -> None:
    if "off" in written.flags and written.values:
        raise Wrong("PIPELINE off takes no other option.")


def _check_unroll(pragma: Pragma, written: Written) -> None:
    if "skip_exit_check" in written.flags and "factor" not in written.values:
        raise Wrong("UNROLL skip_exit_check needs the option 'factor'.")


RULES: Mapping[str, Callable[[Pragma, Written], None]] = {
    "array_partition": _check_array,
    "array_reshape": _check_array,
    "bind_op": _check_operation,
    "bind_storage": _check_storage,
    "dependence": _check_dependence,
    "interface": _check_interface,
    "pipeline": _check_pipeline,
    "unroll": _check_unroll,
}
