"""The network in C++ for Vitis HLS: two accelerators, their common headers and a test bench."""
