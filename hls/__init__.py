"""From integer parameters to hardware: designs planned, C++ written, simulated and synthesised.

cpp/          the network in C++: streaming and SIMD accelerator, test bench
plan/         from sizes to a design: folding, cycles (model), FIFO depths, resources (estimate)
headers/      integers and designs as C++ headers, and back
simulate/     C-simulation with g++ on the open ap_types headers, and the check in threads
synthesize/   the HLS tool driven where it is installed, and its reports read
"""
