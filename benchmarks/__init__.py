"""Benchmarks: `python -m benchmarks [part ...]`. Each part prints a table for people and JSON as its last line."""
