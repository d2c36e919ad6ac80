"""libtorrent with rate limits that hold on loopback too.

libtorrent exempts local peers from a session's rate limits, so the limit has to
be set on the torrent. All else is the driver and worker of tests/clients: this
file is both the driver and, run as a program, the worker.
"""

import json
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent.parent / "tests"


def _driver():
    from clients import tools
    from clients.libtorrent_client import Libtorrent

    class LimitedLibtorrent(Libtorrent):
        """The driver, with this file as its worker."""

        def _start(self):
            options = {
                "host": self.host,
                "port": self.port,
                "download": self.limits.download,
                "upload": self.limits.upload,
                "pex": self.limits.pex,
                "settings": self.settings,
            }
            self._spawn([*tools.python(), __file__, json.dumps(options)])

    return LimitedLibtorrent


def _work():
    sys.path.insert(0, str(TESTS))
    from clients import libtorrent_worker

    class LimitedWorker(libtorrent_worker.Worker):
        """The worker, with limits on the torrent."""

        def __init__(self, options):
            super().__init__(options)
            self.limits = (options["upload"] or 0, options["download"] or 0)

        def _add(self, params, save_dir):
            params.upload_limit, params.download_limit = self.limits
            super()._add(params, save_dir)

    libtorrent_worker.Worker = LimitedWorker
    libtorrent_worker.main()


if __name__ == "__main__":
    _work()
else:
    LimitedLibtorrent = _driver()
