"""The one training loop: batches, gradients, checkpoints, several processes."""
