"""One file per reader, each with a constant READER."""
