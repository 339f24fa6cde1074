"""The C++ run without a licence: compiled by g++, or in threads on bounded FIFOs."""
