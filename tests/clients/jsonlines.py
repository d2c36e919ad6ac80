"""A child that takes commands and answers as JSON lines (libtorrent, webtorrent)."""

import json
import select
import subprocess
import time

from .base import Client, ClientError, Process, Progress, START_TIMEOUT_S, WaitTimeout

CALL_TIMEOUT_S = 20


class JsonLinesClient(Client):
    """Base of drivers whose client is a library, run in a worker of our own.

    The worker reads ``{"op": ..., ...}`` lines on stdin and answers each with
    one line: ``{"ok": value}`` or ``{"error": text}``.
    """

    def _spawn(self, command):
        self.process = Process(
            command, self.workdir, self.name, stdin=subprocess.PIPE, stdout=subprocess.PIPE, netns=self.netns
        )
        self._buffer = b""
        self._version = self._read_line(START_TIMEOUT_S)["ready"]

    def _read_line(self, timeout):
        deadline = time.monotonic() + timeout
        out = self.process.popen.stdout
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([out], [], [], left)[0]:
                raise WaitTimeout(f"{self.name}: no answer within {timeout:g} s; log ends:\n{self.process.log_tail()}")
            data = out.read1(65536)
            if not data:
                self.process.popen.wait(5)
                self.process.check_alive()
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        return json.loads(line)

    def call(self, op, **arguments):
        """Sends one command and returns its answer."""
        try:
            self.process.popen.stdin.write(json.dumps({"op": op, **arguments}).encode() + b"\n")
            self.process.popen.stdin.flush()
        except BrokenPipeError:
            self.process.check_alive()
            raise ClientError(f"{self.name}: closed its input") from None
        answer = self._read_line(CALL_TIMEOUT_S)
        if "error" in answer:
            raise ClientError(f"{self.name}: {op}: {answer['error']}")
        return answer["ok"]

    def add_torrent(self, path, save_dir, seed):
        self.call("add_torrent", path=str(path), save_dir=str(save_dir), seed=seed)

    def add_magnet(self, uri, save_dir):
        self.call("add_magnet", uri=uri, save_dir=str(save_dir))

    def connect_peer(self, address):
        self.call("connect_peer", host=address[0], port=address[1])

    def status(self):
        """done, total, complete, peers, uploaded in one call."""
        return self.call("status")

    def progress(self):
        status = self.status()
        return Progress(status["done"], status["total"])

    def is_complete(self):
        return self.status()["complete"]

    def peers(self):
        return self.status()["peers"]

    def uploaded(self):
        return self.status()["uploaded"]

    def version(self):
        return self._version
