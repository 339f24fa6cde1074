"""The fixed-size SIMD accelerator: its program, cycles (model) and resources (estimate)."""
