"""The process behind libtorrent_client: one libtorrent session, JSON lines.

Argument: a JSON object with host, port, download, upload (bytes/s or null),
pex, and ``settings`` that go over the defaults below.
"""

import hashlib
import json
import os
import sys
import time

import libtorrent as lt


def session_settings(options):
    """Plain TCP on loopback, nothing that leaves the machine."""
    settings = {
        "listen_interfaces": f"{options['host']}:{options['port']}",
        "outgoing_interfaces": options["host"],
        "enable_dht": False,
        "enable_lsd": options.get("lan", False),
        "enable_upnp": False,
        "enable_natpmp": False,
        "enable_incoming_utp": False,
        "enable_outgoing_utp": False,
        "allow_multiple_connections_per_ip": True,
        "no_connect_privileged_ports": False,
        "ssrf_mitigation": False,
        "validate_https_trackers": False,
        "in_enc_policy": 2,
        "out_enc_policy": 2,
        "min_reconnect_time": 1,
        "announce_to_all_trackers": True,
        "announce_to_all_tiers": True,
        "download_rate_limit": options["download"] or 0,
        "upload_rate_limit": options["upload"] or 0,
        "rate_limit_ip_overhead": False,
        "alert_mask": lt.alert.category_t.error_notification | lt.alert.category_t.ip_block_notification
        | lt.alert.category_t.dht_notification,
        "webtorrent_stun_server": "",
    }
    settings.update(options.get("settings") or {})
    return settings


class Worker:
    """One session, and the torrent added last."""

    def __init__(self, options):
        settings = session_settings(options)
        known = lt.default_settings()
        self.pex = options["pex"]
        self.dht = options.get("dht", False)
        self.lan = options.get("lan", False)
        self.joined = False
        params = lt.session_params()
        params.settings = {key: value for key, value in settings.items() if key in known}
        self.session = lt.session(params)
        # By default, local peers are in a class of their own that no rate limit holds.
        classes = lt.ip_filter()
        classes.add_rule("0.0.0.0", "255.255.255.255", 1 << lt.session.global_peer_class_id)
        classes.add_rule("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 1 << lt.session.global_peer_class_id)
        self.session.set_peer_class_filter(classes)
        self.handle = None

    def _add(self, params, save_dir):
        params.save_path = save_dir
        params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
        if not self.pex:
            params.flags |= lt.torrent_flags.disable_pex
        if not self.lan:
            params.flags |= lt.torrent_flags.disable_lsd
        if not self.dht:
            params.flags |= lt.torrent_flags.disable_dht
        self.handle = self.session.add_torrent(params)

    def add_torrent(self, path, save_dir, seed):
        del seed  # data that is there is checked and seeded either way
        self._add(lt.load_torrent_file(path), save_dir)

    def add_magnet(self, uri, save_dir):
        self._add(lt.parse_magnet_uri(uri), save_dir)

    def connect_peer(self, host, port):
        self.handle.connect_peer((host, port))

    def dht_joined(self):
        """Whether it has looked for its neighbourhood; its own counter of nodes stays 0 in small networks."""
        self.session.wait_for_alert(200)
        self.joined |= any(isinstance(alert, lt.dht_bootstrap_alert) for alert in self.session.pop_alerts())
        return self.joined

    def dht_put(self, text, seed, public, salt):
        if seed is None:
            return str(self.session.dht_put_immutable_item(text.encode()))
        # the secret key as it wants it: hashed and clamped (RFC 8032, section 5.1.5)
        secret = bytearray(hashlib.sha512(bytes.fromhex(seed)).digest())
        secret[0] &= 248
        secret[31] = secret[31] & 63 | 64
        self.session.dht_put_mutable_item(bytes(secret), bytes.fromhex(public), text.encode(), salt.encode())
        return public

    def dht_get(self, target, salt):
        """None when nothing comes within 10 s."""
        mutable = len(target) == 64
        self.session.pop_alerts()
        if mutable:
            self.session.dht_get_mutable_item(bytes.fromhex(target), salt.encode())
        else:
            self.session.dht_get_immutable_item(lt.sha1_hash(bytes.fromhex(target)))
        kind = "dht_mutable_item_alert" if mutable else "dht_immutable_item_alert"
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            self.session.wait_for_alert(200)
            for alert in self.session.pop_alerts():
                if type(alert).__name__ == kind:
                    item = alert.item
                    value = item.get("value") if isinstance(item, dict) and "value" in item else item
                    if value:
                        return value.decode() if isinstance(value, bytes) else repr(value)
        return None

    def status(self):
        status = self.handle.status()
        total = status.total_wanted if status.has_metadata else 0
        return {
            "done": status.total_wanted_done,
            "total": total,
            "complete": bool(status.is_seeding),
            "state": str(status.state),
            "error": status.errc.message() if status.errc.value() else "",
            "peers": [f"{peer.ip[0]}:{peer.ip[1]}" for peer in self.handle.get_peer_info()],
            "uploaded": status.total_payload_upload,
            "downloaded": status.total_payload_download,
            "wasted": status.total_failed_bytes + status.total_redundant_bytes,
            "alerts": [alert.message() for alert in self.session.pop_alerts()],
        }


def main():
    options = json.loads(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # nothing but answers on stdout
    worker = Worker(options)
    print(json.dumps({"ready": f"libtorrent {lt.__version__}"}), file=answers, flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        operation = getattr(worker, command.pop("op"))
        try:
            answer = {"ok": operation(**command)}
        except Exception as error:  # every failure goes to the driver
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
