"""rqbit, driven by its HTTP API. Present only where it was built (see bench/install)."""

import json
import shutil
import urllib.error
import urllib.parse
import urllib.request

from clients.base import Client, Process, Progress, START_TIMEOUT_S, wait_for
from clients.ports import free_port
from clients.tools import MissingClient

#: where ``bench/install --with-rqbit`` puts it; set by the command line
search_path = None


def find():
    """Path of the program, or None."""
    return shutil.which("rqbit", path=search_path)


class Rqbit(Client):
    """rqbit's server; peers are named when a torrent is added."""

    name = "rqbit"

    def _start(self):
        program = find()
        if program is None:
            raise MissingClient("rqbit")
        self._api_port = free_port()
        self._torrent = None
        self._added = None
        command = [
            program, "--disable-dht", "--disable-upnp-port-forward", "--disable-lsd",
            "--http-api-listen-addr", f"127.0.0.1:{self._api_port}",
            "--listen-port", str(self.port), "--listen-ip", self.host,
        ]
        if self.limits.upload:
            command += ["--ratelimit-upload", str(self.limits.upload)]
        if self.limits.download:
            command += ["--ratelimit-download", str(self.limits.download)]
        downloads = self.workdir / "downloads"
        downloads.mkdir(exist_ok=True)
        command += ["server", "start", str(downloads)]
        self.process = Process(command, self.workdir, self.name)
        wait_for(self._answers, START_TIMEOUT_S, "rqbit answers")

    def _answers(self):
        self.process.check_alive()
        try:
            self._version = self.api("")["version"]
            return True
        except OSError:
            return False

    def api(self, path, body=None):
        """GET without a body, POST with one."""
        url = f"http://127.0.0.1:{self._api_port}/{path}"
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=30) as response:
            return json.load(response)

    def _add(self, body, save_dir, peers=()):
        options = {"overwrite": "true", "output_folder": str(save_dir)}
        if peers:
            options["initial_peers"] = ",".join(f"{host}:{port}" for host, port in peers)
        self._torrent = self.api(f"torrents?{urllib.parse.urlencode(options)}", body)["id"]

    def add_torrent(self, path, save_dir, seed):
        with open(path, "rb") as file:
            body = file.read()
        if seed:
            self._add(body, save_dir)
            wait_for(self.is_complete, START_TIMEOUT_S, "rqbit has checked the data")
        else:
            self._added = (body, save_dir)

    def add_magnet(self, uri, save_dir):
        self._added = (uri.encode(), save_dir)

    def connect_peer(self, address):
        self.connect_peers([address])

    def connect_peers(self, addresses):
        """Adds the torrent with its peers: it takes none later."""
        self._add(*self._added, addresses)

    def _stats(self):
        return self.api(f"torrents/{self._torrent}/stats/v1")

    def progress(self):
        stats = self._stats()
        return Progress(stats["progress_bytes"], stats["total_bytes"])

    def is_complete(self):
        return self._stats()["finished"]

    def peers(self):
        return []

    def uploaded(self):
        return self._stats()["uploaded_bytes"]

    def version(self):
        return f"rqbit {self._version}"
