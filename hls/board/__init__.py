"""Put a design on a board: wrapper, block design, link configuration, host code, README."""
