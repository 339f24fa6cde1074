"""From sizes to a design: folding, cycles, FIFO depths, resources. Needs no weights."""
