"""Commands that are not stages of the DVC graph."""
