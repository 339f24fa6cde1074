"""Checks every `#pragma HLS` of the C++ against the documented directives: `python -m hls.pragmas`.

HLS tools warn about a pragma that they do not understand, and go on without it; g++ and clang skip
all of them. So a misspelt one costs an interval or a memory, and nobody is told.
"""
