"""Write a streaming design as RTL: the top module, and a file for each ROM of hls/rtl."""
