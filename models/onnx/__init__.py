"""A network as standard ONNX: written from its integers or its weights, run by onnxruntime."""
