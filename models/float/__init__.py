"""The float networks in PyTorch: the ResMLP, the ConvNet that trains its teacher, their weights."""
