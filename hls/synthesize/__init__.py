"""The HLS tool driven where it is installed, and its reports read."""
