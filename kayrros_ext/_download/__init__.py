"""Download of a static dataset to a file."""
