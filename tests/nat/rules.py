"""The nftables rules of the laboratory's routers: four kinds of NAT, firewalls, loss.

The words are RFC 4787's: a *mapping* is which outer port an inner one gets, the
*filtering* is who may send to it.

| kind | mapping | filtering | how |
|---|---|---|---|
| none | no translation | none | routed |
| easy | endpoint-independent | endpoint-independent | masquerade, and a map that leads back ("full cone") |
| restricted | endpoint-independent | address and port | masquerade, which keeps the port where it is free |
| symmetric | address and port | address and port | masquerade with random ports |

As home routers do, all but ``none`` drop what comes from outside unasked, rather
than answer it: an answered or noticed packet would take the outer port that a
later packet from inside needs (it would make the mapping of ``restricted``
depend on who was first).
"""

KINDS = ("none", "easy", "restricted", "symmetric")

_EASY = """
table ip nat {
    map udp_back { type inet_service : ipv4_addr . inet_service; flags dynamic,timeout; timeout 5m; size 4096; }
    map tcp_back { type inet_service : ipv4_addr . inet_service; flags dynamic,timeout; timeout 5m; size 4096; }
    chain prerouting {
        type nat hook prerouting priority dstnat; policy accept;
        iifname "wan" meta l4proto udp dnat ip to udp dport map @udp_back
        iifname "wan" meta l4proto tcp dnat ip to tcp dport map @tcp_back
    }
    chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        oifname "wan" meta l4proto udp update @udp_back { udp sport : ip saddr . udp sport }
        oifname "wan" meta l4proto tcp update @tcp_back { tcp sport : ip saddr . tcp sport }
        oifname "wan" masquerade
    }
}
"""

_MASQUERADE = """
table ip nat {
    chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        oifname "wan" masquerade%s
    }
}
"""


def router(kind, udp=True, tcp_ports=None):
    """Rules of a router whose outer interface is ``wan``.

    ``udp=False`` drops all UDP; ``tcp_ports`` are the only ones that connections
    from inside may go to (an empty tuple: none).
    """
    nat = {"none": "", "easy": _EASY, "restricted": _MASQUERADE % "", "symmetric": _MASQUERADE % " fully-random"}[kind]
    blocked = []
    if not udp:
        blocked.append("meta l4proto udp drop")
    if tcp_ports == ():
        blocked.append("meta l4proto tcp drop")
    elif tcp_ports is not None:
        ports = ", ".join(map(str, tcp_ports))
        blocked.append(f'oifname "wan" tcp dport != {{ {ports} }} drop')
    closed = [] if kind == "none" else [
        'iifname "wan" ct state established,related accept',
        'iifname "wan" ct status dnat accept',
        'iifname "wan" drop',
    ]
    own = [
        'iifname "wan" ct state established,related accept',
        'iifname "wan" meta l4proto { icmp, ipv6-icmp } accept',
        'iifname "wan" drop',
    ]
    lines = "\n        ".join
    return f"""{nat}
table inet guard {{
    chain input {{
        type filter hook input priority filter; policy accept;
        {lines(own)}
    }}
    chain forward {{
        type filter hook forward priority filter; policy accept;
        {lines(blocked + closed)}
    }}
}}
"""


LOSS_TABLE = """
table inet loss {
    chain forward { type filter hook forward priority raw; policy accept; }
}
"""


def loss(interface, fraction):
    """Independent loss of packets from and to the interface, in a namespace with LOSS_TABLE."""
    scale = 1_000_000
    part = round(fraction * scale)
    return "".join(
        f'add rule inet loss forward {side} "{interface}" numgen random mod {scale} < {part} drop\n'
        for side in ("iifname", "oifname"))


#: where a port mapper (miniupnpd) keeps its mappings; nat hooks run before guard's forward chain
MAPPER_TABLE = """
table inet mapper {
    chain forward { type filter hook forward priority filter - 5; policy accept; }
    chain prerouting { type nat hook prerouting priority dstnat - 5; policy accept; }
    chain postrouting { type nat hook postrouting priority srcnat - 5; policy accept; }
    counter asked { }
    chain input {
        type filter hook input priority filter - 5; policy accept;
        iifname "lan" udp dport { 1900, 5351 } counter name asked
    }
}
"""
