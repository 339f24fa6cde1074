"""The same ResMLP as few passes over memory, for training."""
