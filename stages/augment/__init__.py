"""Random changes of training images, and stored logits of changed images."""
