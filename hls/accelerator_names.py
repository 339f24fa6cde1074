"""The names of the accelerators, in params.yaml, in plans and here.

They stand alone because every stage reads params.yaml and so depends on this file.
"""

STREAMING, SIMD = "streaming", "simd"
