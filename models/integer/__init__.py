"""The INT8 network: integer arithmetic, parameter schema and files, numpy network; no torch."""
