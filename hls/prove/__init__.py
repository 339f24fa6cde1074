"""Proofs that units of hls/rtl keep their contracts: `python -m hls.prove` (`make prove`).

checks/        a SystemVerilog module around each unit, with what is assumed and what must hold
properties.py  which checks there are, with their bounds and the faults that each must catch
yosys.py       has Yosys translate a check and its units to formulas
formulas.py    asks about the first cycles of such a check, for z3 to find a run that breaks it
prover.py      proves all properties, and plants the faults
"""
