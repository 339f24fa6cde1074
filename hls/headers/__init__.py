"""Integers and designs as C++ text, and back."""
