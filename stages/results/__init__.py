"""Measured figures, as JSON and as tables, and the data that hardware is compared with."""
