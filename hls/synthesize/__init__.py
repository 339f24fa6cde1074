"""Run the HLS tool where it is installed, and read its reports."""
