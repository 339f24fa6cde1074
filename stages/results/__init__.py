"""Measured figures, as JSON and as tables."""
