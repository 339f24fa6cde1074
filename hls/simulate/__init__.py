"""Run the C++ without a licence: compiled by g++, or as threads with bounded FIFOs."""
