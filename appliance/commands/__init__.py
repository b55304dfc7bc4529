"""What the command line does beyond starting processes."""
