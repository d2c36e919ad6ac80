"""What a NAT does, seen from inside, by RFC 4787's questions (and RFC 5382's for TCP).

Two public addresses with two ports each answer with the address that they see. The
client asks all four from one port: the answers tell the mapping. Then it asks one to
have the others write to it: those that get through tell the filtering.
"""

import json
import select
import socket
import threading

ENDPOINT_INDEPENDENT = "endpoint-independent"
ADDRESS_DEPENDENT = "address-dependent"
ADDRESS_AND_PORT_DEPENDENT = "address-and-port-dependent"
ANSWER_S = 5
#: for packets that were sent before an answer which has come: the path keeps order, but for two cores
LATE_S = 0.2
#: for connections that a firewall is to swallow
SWALLOWED_S = 1.0
PORTS = (3478, 3479)


class EchoServer:
    """Answers ``echo`` with the sender's address, and ``all`` from every socket, its own last.

    Four endpoints for each of UDP and TCP, in this order: (A, p), (A, q), (B, p), (B, q).
    TCP says the address that it sees, and closes.
    """

    def __init__(self, host, ports=PORTS):
        self.endpoints = [(address, port) for address in host.addresses[:2] for port in ports]
        self._udp = [host.udp(port, address) for address, port in self.endpoints]
        self._tcp = [host.listen(port, address) for address, port in self.endpoints]
        self._stop, self._stopped = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.send(b"x")
        self._thread.join()
        for sock in (*self._udp, *self._tcp, self._stop, self._stopped):
            sock.close()

    def _serve(self):
        while True:
            ready, _, _ = select.select([*self._udp, *self._tcp, self._stopped], [], [])
            if self._stopped in ready:
                return
            for sock in ready:
                if sock in self._udp:
                    self._answer(sock)
                else:
                    connection, seen = sock.accept()
                    with connection:
                        connection.sendall(json.dumps(seen[:2]).encode())

    def _answer(self, sock):
        data, seen = sock.recvfrom(2048)
        speakers = [other for other in self._udp if other is not sock] if data == b"all" else []
        for speaker in (*speakers, sock):
            reply = {"seen": seen[:2], "from": self._udp.index(speaker)}
            speaker.sendto(json.dumps(reply).encode(), seen)


def ask(sock, endpoint, timeout=ANSWER_S):
    """The address that the endpoint sees for this UDP socket; None without an answer."""
    sock.settimeout(timeout)
    sock.sendto(b"echo", endpoint)
    try:
        return tuple(json.loads(sock.recv(2048))["seen"])
    except TimeoutError:
        return None


def classify_mapping(seen):
    """``seen``: by endpoint, in the order (A, p), (A, q), (B, p), (B, q)."""
    if len(set(seen)) == 1:
        return ENDPOINT_INDEPENDENT
    if seen[0] == seen[1] and seen[2] == seen[3]:
        return ADDRESS_DEPENDENT
    return ADDRESS_AND_PORT_DEPENDENT


def udp_mapping(host, server):
    """The class of the mapping, and the addresses seen."""
    with host.udp() as sock:
        seen = [ask(sock, endpoint) for endpoint in server.endpoints]
    assert all(seen), f"no answer: {seen}"
    return classify_mapping(seen), seen


def udp_filtering(host, server):
    """Who gets through to a port that has written to (A, p) alone."""
    heard = set()
    with host.udp() as sock:
        sock.settimeout(ANSWER_S)
        sock.sendto(b"all", server.endpoints[0])
        while 0 not in heard:
            heard.add(json.loads(sock.recv(2048))["from"])
        sock.settimeout(LATE_S)
        try:
            while True:
                heard.add(json.loads(sock.recv(2048))["from"])
        except TimeoutError:
            pass
    if heard & {2, 3}:
        return ENDPOINT_INDEPENDENT
    return ADDRESS_DEPENDENT if 1 in heard else ADDRESS_AND_PORT_DEPENDENT


def tcp_seen(host, endpoint, port=0, timeout=ANSWER_S):
    """The address that the endpoint sees for a connection."""
    with host.connect(endpoint, timeout, port) as sock:
        return tuple(json.loads(sock.makefile("rb").read()))


def tcp_mapping(host, server):
    """The class of the mapping of one TCP port, and the addresses seen."""
    with host.listen() as listener:
        port = listener.getsockname()[1]
        seen = [tcp_seen(host, endpoint, port) for endpoint in server.endpoints]
    return classify_mapping(seen), seen


def can_connect(host, target, timeout=SWALLOWED_S):
    """Whether a TCP connection comes about."""
    try:
        host.connect(target, timeout).close()
        return True
    except OSError:
        return False
