"""Benchmarks of the claims about speed and memory. `make bench` runs all cases, `make bench ARGS=reader` one.

A case is a module with a function `run() -> Report`; `__main__` imports it by its name.
"""
