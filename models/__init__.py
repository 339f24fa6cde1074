"""The network in each of its numeric forms; imports nothing from stages/ or hls/.

files/      reads and writes files: atomic writes, safe reading of untrusted files
float/      the network in floats, its learnable 1-D activations, fused passes for training
qat/        folding, calibration and quantisation-aware training in PyTorch
integer/    the INT8 network: integer arithmetic, parameter schema, numpy implementation
"""
