"""The INT8 network as few passes over memory, for training; the same integers."""
