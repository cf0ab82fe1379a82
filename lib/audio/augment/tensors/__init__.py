"""What augmentations compute with: batches of tensors on any device."""
