"""The network in every numeric form it takes; imports nothing from stages/ or hls/.

resmlp (float network) -> fold (BatchNorms absorbed) -> quantize (INT8 QAT) -> int_params (integer
schema and files) -> int_resmlp (numpy); fixed_point is the arithmetic they share, activations/ the
learnable 1-D functions, checkpoint the published files.
"""
