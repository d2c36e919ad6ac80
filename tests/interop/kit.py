"""Small helpers that several test files share."""

import re
import threading
import time
from contextlib import contextmanager

import psutil


def without_peers(link):
    """The link without the addresses of peers: only trackers are left to find them."""
    return re.sub(r"&x\.p[eg]=[^&]*", "", link)


@contextmanager
def sampled_memory(pid, results, interval=0.2):
    """Notes the largest resident size of a process while the body runs."""
    done = threading.Event()
    results["rss"] = 0

    def sample():
        while not done.wait(interval):
            try:
                results["rss"] = max(results["rss"], psutil.Process(pid).memory_info().rss)
            except psutil.NoSuchProcess:
                return

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield results
    finally:
        done.set()
        thread.join()


def stays(condition, seconds, poll=0.2):
    """Whether the condition holds all that time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not condition():
            return False
        time.sleep(poll)
    return True
