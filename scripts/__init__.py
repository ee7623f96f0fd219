"""Scripts of the Makefile. They are not part of the package."""
