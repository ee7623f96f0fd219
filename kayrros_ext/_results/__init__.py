"""Results of a dataset: fetch, read, merge and convert."""
