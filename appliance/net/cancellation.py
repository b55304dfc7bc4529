"""Cancellation that a library has lost."""

import asyncio


def heed_cancellation() -> None:
    """Raise what the running task was told and not given; for loops that call libraries, once a turn.

    Before Python 3.12 ``asyncio.wait_for`` drops a cancellation that comes in the same turn of the event loop as what
    it waited for (https://github.com/python/cpython/issues/86296). aiomqtt and aiormq call it, so that a task that
    publishes one message after the other would go on for ever, and whoever waits for its end with it.

    :raises asyncio.CancelledError: it has been cancelled.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
