"""One script a version, in the order of their numbers."""
