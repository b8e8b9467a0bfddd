"""Waiting for something that can be observed, never for a time."""

import time


def eventually(condition, within=5.0, what=None):
    """Asks condition() until it gives something true, and returns that. Fails with its last answer after `within` seconds.

    An AssertionError from the condition counts as "not yet".
    """
    deadline = time.monotonic() + within
    pause = 0.001
    while True:
        late = time.monotonic() >= deadline
        try:
            answer = condition()
        except AssertionError as e:
            answer, failure = None, e
        else:
            failure = None
        if answer:
            return answer
        if late:
            name = what or getattr(condition, "__doc__", None) or getattr(condition, "__name__", "condition")
            raise AssertionError(f"not within {within} s: {name}; last: {failure or answer!r}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.02)
