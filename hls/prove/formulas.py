"""Ask z3 whether a check can fail in its first cycles, and read the answer.

Yosys describes a circuit in SMT-LIB: a state is a bit vector, `top_i` says which states are initial
ones, `top_t` which state follows which, `top_u` what is assumed of a state and `top_a` what must
hold in it (https://yosyshq.readthedocs.io, write_smt2).
"""

from models.files.errors import PipelineError


def question(circuit: str, cycles: int) -> str:
    """Return SMT-LIB text that asks for a run of `cycles` cycles (1 or more) that breaks a check.

    z3 answers "unsat" if there is none; otherwise "sat" and, for each cycle, whether all held.
    """
    states = [f"s{cycle}" for cycle in range(cycles)]
    lines = ["(set-logic QF_BV)", "(set-option :produce-models true)", circuit]
    lines += [f"(declare-const {state} |top_s|)" for state in states]
    lines += ["(assert (|top_i| s0))", *(f"(assert (|top_u| {state}))" for state in states)]
    lines += [f"(assert (|top_t| s{n} s{n + 1}))" for n in range(cycles - 1)]
    held = [f"(|top_a| {state})" for state in states]
    lines += [f"(assert (not (and true {' '.join(held)})))", "(check-sat)"]
    lines.append(f"(get-value ({' '.join(held)}))")
    return "\n".join(lines) + "\n"


def first_failure(answer: str) -> int | None:
    """Return the first cycle in which a check fails, counted from 0, or None if none can.

    PipelineError if z3 did not decide, for example because its time was up.
    """
    verdict, _, rest = answer.strip().partition("\n")
    if verdict == "unsat":
        return None
    if verdict == "sat":
        words = [word.strip("()") for word in rest.split()]
        values = [word for word in words if word in ("true", "false")]
        if "false" in values:
            return values.index("false")
    if verdict in ("timeout", "unknown"):
        raise PipelineError("z3 ran out of time; run it on a quieter machine.")
    raise PipelineError(f"z3 gave no answer that can be read: {verdict[:80]}")
