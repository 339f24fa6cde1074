"""The compiled forms of the look-up and of LERP-PSA's tables, for CPU (numba) and CUDA (Triton)."""
