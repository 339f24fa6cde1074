"""The network in C++ for Vitis HLS, and the Python that plans it, feeds it and runs it.

include/       the units of the accelerator, templates over generated sizes and parameters
resmlp_top     the accelerator; testbench.cpp checks it against golden samples, tap by tap
folding        how many products per cycle; folding_solver finds the factors for a target
dataflow       the accelerator as processes and FIFOs; dataflow_simulation runs them word by word
fifo_depths    FIFO depths from that simulation
resources      estimates of multipliers, DSP, LUT and block RAM
design         the plan of one design, and design.hpp
headers        `IntResMlp` and `Samples` as C++ headers
gpp            C-simulation with g++ on the open ap_types headers
threads        the C++ in threads on bounded FIFOs: the check of the depths without a licence
project        a folder that an engineer opens in the tool
tool           the HLS tool driven, where it is installed; results and reports read what it wrote
"""
