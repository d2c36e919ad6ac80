"""A router's port mapping service: miniupnpd, with UPnP-IGD, NAT-PMP and PCP."""

import json
import re

from clients import tools
from clients.base import wait_for

from . import rules

UUID = "00000000-0000-4000-8000-000000000001"


class PortMapper:
    """miniupnpd on a home's router. ``methods``: of "upnp" and "pcp" (which brings NAT-PMP)."""

    def __init__(self, home, methods=("upnp", "pcp")):
        self.router = home.router
        self.router.nft(rules.MAPPER_TABLE)
        config = self.router.lab.workdir / f"{home.name}-miniupnpd.conf"
        flag = {True: "yes", False: "no"}
        config.write_text("\n".join([
            "ext_ifname=wan", "listening_ip=lan", "ipv6_disable=yes", "secure_mode=yes", f"uuid={UUID}",
            f"enable_upnp={flag['upnp' in methods]}", f"enable_natpmp={flag['pcp' in methods]}",
            "upnp_table_name=mapper", "upnp_nat_table_name=mapper", "upnp_forward_chain=forward",
            "upnp_nat_chain=prerouting", "upnp_nat_postrouting_chain=postrouting",
            "allow 1024-65535 192.168.0.0/16 1024-65535", "deny 0-65535 0.0.0.0/0 0-65535", "",
        ]))
        pid = self.router.lab.workdir / f"{home.name}-miniupnpd.pid"
        self.process = self.router.start(
            [*tools.system("miniupnpd"), "-d", "-f", config, "-P", pid], "miniupnpd")
        wait_for(self._listens, 10, "miniupnpd listens")

    def _listens(self):
        self.process.check_alive()
        # 1900 for UPnP's search, 5351 for NAT-PMP and PCP: each only where it is enabled.
        listed = self.router.run(["ss", "-Huln"]).stdout
        return re.search(r":(1900|5351)\s", listed) is not None

    def mappings(self):
        """(outer port, inner address, inner port) of each mapping in force."""
        table = self.router.run(["nft", "list", "chain", "inet", "mapper", "prerouting"]).stdout
        found = re.findall(r"dport (\d+) .*dnat ip to ([\d.]+):(\d+)", table)
        return sorted((int(outer), address, int(inner)) for outer, address, inner in found)

    def asked(self):
        """Packets that came from inside to ask for mappings."""
        listed = self.router.run(["nft", "-j", "list", "counter", "inet", "mapper", "asked"]).stdout
        return next(item["counter"]["packets"] for item in json.loads(listed)["nftables"] if "counter" in item)
