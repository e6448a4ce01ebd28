"""Decoding: greedy, sampling, beam search and SafeBeam."""
