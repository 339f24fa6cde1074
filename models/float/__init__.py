"""The networks in PyTorch floats: ResMLP, the ConvNet its teacher learns from, their weights."""
