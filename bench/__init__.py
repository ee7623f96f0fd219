"""Benchmarks: what is claimed of speed and memory, measured. `make bench` runs all, `make bench ARGS=reader` one.

A case is a module here with a function `run() -> Report`; `__main__` finds it by its name.
"""
