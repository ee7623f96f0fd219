"""The commands: each parses its arguments, calls the package and writes what it returns."""
