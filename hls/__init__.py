"""The network in C++ for Vitis HLS, and the Python that feeds it and runs it.

include/       the units of the accelerator, templates over generated sizes and parameters
resmlp_top     the accelerator; testbench.cpp checks it against golden samples, tap by tap
headers        `IntResMlp` and `Samples` as C++ headers
gpp            C-simulation with g++ on the open ap_types headers
vitis          synthesis with Vitis HLS, where it is installed
"""
