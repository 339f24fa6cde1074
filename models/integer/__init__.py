"""The integers: arithmetic, schema and files, the network in numpy. Needs no torch."""
