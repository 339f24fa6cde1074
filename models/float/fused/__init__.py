"""The ResMLP in few passes over memory, for fast training."""
