"""Work that is killed in a process of its own, at a random moment or before a line of some modules."""

import os
import random
import signal
import sys
import time

ALL = os.environ.get("HF_PRUNE_KILLS") == "all"
"""Whether as many kills are wanted as it takes to believe it, which takes a quarter of an hour."""


class At:
    """Calls `act` before line number `line` of those that are run in some modules, 0 for the first, less fsync's."""

    def __init__(self, line, act, *modules):
        self.line, self.act, self.seen = line, act, 0
        self.files = {module.__file__ for module in modules}

    def __call__(self, frame, event, argument):
        if frame.f_code.co_filename not in self.files or frame.f_code.co_name == "_to_disk":
            return None
        if event == "line":
            self.seen += 1
            if self.seen == self.line + 1:
                self.act()
        return self

    def __enter__(self):
        sys.settrace(self)
        return self

    def __exit__(self, *error):
        sys.settrace(None)


def lines_of(work, *modules):
    """How many lines of some modules some work runs."""
    with At(-1, None, *modules) as at:
        work()
    return at.seen


def begun(work):
    """The id of a copy of this process that does the work and ends."""
    if child := os.fork():
        return child
    try:
        work()
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)


def ended(child):
    """What a process ended with; -9 after a kill."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_at(line, work, *modules):
    """Do the work in a process of its own that dies before a line."""

    def doomed():
        with At(line, lambda: os.kill(os.getpid(), signal.SIGKILL), *modules):
            work()

    assert ended(begun(doomed)) == -signal.SIGKILL


def killed_within(seconds, work):
    """Do the work in a process of its own that is killed within so many seconds; whether that was before its end."""
    child = begun(work)
    time.sleep(random.uniform(0, seconds))
    os.kill(child, signal.SIGKILL)
    code = ended(child)
    assert code in (0, -signal.SIGKILL)
    return code != 0


def seconds_of(work):
    """How long some work takes in a process of its own."""
    start = time.monotonic()
    assert ended(begun(work)) == 0
    return time.monotonic() - start
