"""Read damaged and forged files: every reader returns a value or refuses in one sentence.

`python -m tests.fuzz` runs all readers, `make fuzz` too. A reader is a file in tests/fuzz/readers/
with a constant READER (tests/fuzz/harness.py); nothing else lists it.
"""
