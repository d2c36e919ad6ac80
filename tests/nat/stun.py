"""A STUN server (RFC 8489) of the laboratory's own, so that ours is tried against another's code."""

import select
import socket
import struct
import threading

COOKIE = 0x2112A442
PORT = 3478


class StunServer:
    """Answers Binding requests on each address of a public host."""

    def __init__(self, host):
        self.endpoints = [f"{address}:{PORT}" for address in host.addresses]
        self._sockets = [host.udp(PORT, address) for address in host.addresses]
        self._stop, self._stopped = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.send(b"x")
        self._thread.join()
        for sock in (*self._sockets, self._stop, self._stopped):
            sock.close()

    def _serve(self):
        while True:
            ready, _, _ = select.select([*self._sockets, self._stopped], [], [])
            if self._stopped in ready:
                return
            for sock in ready:
                packet, (address, port) = sock.recvfrom(2048)
                kind, length, cookie = struct.unpack(">HHI", packet[:8])
                assert (kind, length, cookie) == (1, len(packet) - 20, COOKIE), packet
                hidden = struct.unpack(">I", socket.inet_aton(address))[0] ^ COOKIE
                value = struct.pack(">BBHI", 0, 1, port ^ (COOKIE >> 16), hidden)
                reply = struct.pack(">HHI", 0x0101, 12, COOKIE) + packet[8:20] + struct.pack(">HH", 0x0020, 8) + value
                sock.sendto(reply, (address, port))
