"""The model engine: build and save, one training loop, decoders."""
