"""The network in C++ for Vitis HLS: two accelerators, what they share, one test bench."""
