"""Settings of the tests of the command line."""

import signal

import pytest


@pytest.fixture(autouse=True)
def handlers():
    """Give back the handlers that `main` leaves, as it expects the process to end."""
    numbers = signal.SIGTERM, signal.SIGHUP
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)
