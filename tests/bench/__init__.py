"""Benchmarks: each compares things side by side in one run, prints a table, and says which machine it ran on."""
