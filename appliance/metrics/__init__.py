"""Prometheus: names, collectors, exposition."""
