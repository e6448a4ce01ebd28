"""Benchmarks: run by `make bench`; they are neither tests nor part of the gate."""
