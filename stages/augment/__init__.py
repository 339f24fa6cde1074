"""Random views of training images, and stored logits of them."""
