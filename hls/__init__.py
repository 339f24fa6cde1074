"""The network in C++ for Vitis HLS, and the Python that plans it, feeds it and runs it.

include/       the arithmetic and the units of the streaming accelerator, templates over sizes
resmlp_top     the streaming accelerator; streaming/driver.hpp calls it for the test bench
simd/          the fixed-size SIMD accelerator, with its own driver.hpp
testbench      checks either of them against golden samples, tap by tap
accelerators   which C++ belongs to which
simd_program   the steps of the SIMD processor; simd_parameters lays out its memory
simd_model     cycles of a SIMD design; simd_resources estimates what it takes
folding        how many products per cycle; folding_solver finds the factors for a target
dataflow       the accelerator as processes and FIFOs; dataflow_simulation runs them word by word
fifo_depths    FIFO depths from that simulation
resources      estimates of a streaming design: multipliers, DSP, LUT and block RAM
design         the plan of one design, and design.hpp
headers        `IntResMlp` and `Samples` as C++ headers
gpp            C-simulation with g++ on the open ap_types headers
threads        the C++ in threads on bounded FIFOs: the check of the depths without a licence
project        a folder that an engineer opens in the tool
tool           the HLS tool driven, where it is installed; results and reports read what it wrote
"""
