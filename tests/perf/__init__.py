"""Benchmarks of benchctl itself: each figure is a ratio with a peer measured in the same run.

Nothing here asserts on time; `make perf` prints the rows, docs/performance.md explains them.
"""
