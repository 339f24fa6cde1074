"""Plan a design from layer sizes: folding, cycles, FIFO depths, resources. Needs no weights."""
