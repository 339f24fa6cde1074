"""The network in every numeric form it takes; imports nothing from stages/ or hls/.

files/      what lies on disk: written whole or not at all, read without trust
float/      the network in floats, its learnable 1-D activations, fast passes for training
qat/        folded, calibrated and quantised, still trained by PyTorch
integer/    the integers themselves: arithmetic, schema, numpy network
"""
