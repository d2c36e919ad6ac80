"""Network namespaces of our own, for clients that shun loopback addresses.

One namespace holds several addresses on its loopback interface, so that a
swarm of processes lives in it, each with an address that looks like a host's.
"""

import ctypes
import http.client
import os
import socket
import subprocess
import threading
import urllib.request

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class NetNs:
    """A namespace with ``count`` addresses 10.77.0.1 and up; needs root."""

    def __init__(self, name, count=8):
        self.name = name
        self.addresses = [f"10.77.0.{number}" for number in range(1, count + 1)]

    def __enter__(self):
        subprocess.run(["ip", "netns", "add", self.name], check=True, timeout=10)
        try:
            self._ip("link", "set", "lo", "up")
            for address in self.addresses:
                self._ip("addr", "add", f"{address}/24", "dev", "lo")
        except BaseException:
            self.__exit__()
            raise
        return self

    def _ip(self, *arguments):
        subprocess.run(["ip", "-n", self.name, *arguments], check=True, timeout=10)

    def __exit__(self, *_):
        subprocess.run(["ip", "netns", "delete", self.name], check=False, timeout=10)


def inside(name, function, *arguments):
    """Calls the function in the namespace; its result or its exception.

    ``setns`` changes only the calling thread, and a socket or a child process
    stays in the namespace it was made in: so a short-lived thread does it.
    """
    result = {}

    def work():
        try:
            fd = os.open(f"/run/netns/{name}", os.O_RDONLY)
            try:
                if _libc.setns(fd, CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
            finally:
                os.close(fd)
            result["value"] = function(*arguments)
        except BaseException as error:  # handed to the caller
            result["error"] = error

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if "error" in result:
        raise result["error"]
    return result["value"]


def connect_in(name, address, timeout):
    """A TCP socket connected inside the namespace."""
    return inside(name, socket.create_connection, address, timeout)


def opener(name):
    """A urllib opener that never uses a proxy, in the namespace (or here: None)."""
    no_proxy = urllib.request.ProxyHandler({})
    if name is None:
        return urllib.request.build_opener(no_proxy)

    class Connection(http.client.HTTPConnection):
        def connect(self):
            self.sock = connect_in(name, (self.host, self.port), self.timeout)

    class Handler(urllib.request.HTTPHandler):
        def http_open(self, request):
            return self.do_open(Connection, request)

    return urllib.request.build_opener(no_proxy, Handler)
