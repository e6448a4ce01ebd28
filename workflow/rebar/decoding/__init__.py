"""Answers from a model: greedy, sampling, beam search and SafeBeam."""
