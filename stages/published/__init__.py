"""Fetch and read the authors' archive of weights."""
