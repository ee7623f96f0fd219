"""The suite: unit, contract (spec, generated code, mock), faults (real sockets), end_to_end (as a user would)."""
