"""Hostile bytes for the parsers that meet them: `make fuzz-parsers`."""
