"""From integer parameters to hardware: plan a design, generate C++, simulate and synthesise it.

cpp/          the network in C++: streaming and SIMD accelerator, test bench
plan/         from sizes to a design: folding, cycles (model), FIFO depths, resources (estimate)
headers/      writes integers and designs as C++ headers, and reads them back
pragmas/      checks every `#pragma HLS` against the manual's list: `python -m hls.pragmas`
simulate/     C-simulation with g++ and the open ap_types headers; deadlock check with threads
synthesize/   runs the HLS tool where it is installed, and reads its reports
"""
