"""Learnable 1-D functions, one per channel; imports nothing from the rest of the project."""
