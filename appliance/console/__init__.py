"""The web page of the operator, and the demo call page."""
