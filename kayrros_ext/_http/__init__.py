"""HTTP clients that retry, buffer and validate every response."""
