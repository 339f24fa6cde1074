"""Turn the RTL of a design into gates: Yosys counts them, nextpnr places and routes them."""
