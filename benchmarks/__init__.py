"""Benchmarks: no tests, no gates; `make bench`."""
