"""Settings of all tests."""

import os

from hypothesis import settings

# `ci` tries the same examples every time, so that a failure is a failure everywhere.
settings.register_profile("dev", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")
