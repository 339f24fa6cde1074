"""Learnable 1-D functions, one per channel. Imports nothing from the rest of the project."""
