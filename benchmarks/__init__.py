"""Measurements of speed, with the threads that the stages have."""

import stages as stages  # sets them, before a benchmark imports PyTorch
