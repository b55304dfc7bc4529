"""Settings of every test."""

import os

from hypothesis import settings

# A busy machine is no reason for a property to fail.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")
