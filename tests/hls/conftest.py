"""Fixtures of the tests that compile C++."""

from tests.support.hls_build import builds

__all__ = ["builds"]
