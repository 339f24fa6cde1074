"""The streaming accelerator: folding, dataflow model, FIFO depths and resources (estimate)."""
