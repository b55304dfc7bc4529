"""The measured claims of the README, each beside its peer in the same run."""
