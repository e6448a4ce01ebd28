"""The training loop, and what it is made of: batches, gradients, checkpoints, processes."""
