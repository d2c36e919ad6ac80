"""The links' conditions, measured from outside: delay, jitter, loss, bursts, rate, order."""

import socket
import statistics
import struct
import threading
import time

import pytest

from .lab import Link

#: what a round trip may take beyond the link's delay on a busy machine of two cores
SLACK_S = 0.015
PACKETS = 4000
SO_RCVBUFFORCE = 33  # asm-generic/socket.h


def sent_and_arrived(lab, link, count=PACKETS, pace=0.0002, size=200):
    """Numbers of the packets that arrive of those 0..count sent over the link, in order of arrival."""
    server, client = lab.host("server"), lab.host("client", link=link)
    arrived = []
    with server.udp() as sink, client.udp() as source:
        sink.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 23)
        sink.settimeout(1)

        def receive():
            try:
                while True:
                    arrived.append(struct.unpack(">I", sink.recv(2048)[:4])[0])
            except TimeoutError:
                pass

        thread = threading.Thread(target=receive)
        thread.start()
        for number in range(count):
            source.sendto(struct.pack(">I", number) + bytes(size - 4), sink.getsockname())
            time.sleep(pace)
        thread.join()
    return arrived


def round_trips(lab, link, count=40):
    """Seconds of each UDP round trip over the link, one after the other."""
    server, client = lab.host("server"), lab.host("client", link=link)
    times = []
    with server.udp() as echo, client.udp() as sock:
        echo.settimeout(2)
        sock.settimeout(2)
        for _ in range(count):
            begin = time.monotonic()
            sock.sendto(b"ping", echo.getsockname())
            echo.sendto(b"pong", echo.recvfrom(16)[1])
            sock.recv(16)
            times.append(time.monotonic() - begin)
    return times


def transfer_mbit(lab, link, size):
    """Mbit/s of one TCP connection over the link: of the whole, and of the best second.

    The best second stands for the link: on a busy machine others have the processor meanwhile.
    """
    server, client = lab.host("server"), lab.host("client", link=link)
    with server.listen() as listener:
        def send():
            with client.connect(listener.getsockname()) as sock:
                sock.settimeout(60)
                sock.sendall(bytes(size))

        thread = threading.Thread(target=send)
        thread.start()
        connection = listener.accept()[0]
        got = [(time.monotonic(), 0)]
        with connection:
            while got[-1][1] < size:
                data = connection.recv(1 << 18)
                assert data, f"{size - got[-1][1]} bytes are missing"
                got.append((time.monotonic(), got[-1][1] + len(data)))
        thread.join()

    def mbit(first, last):
        return (last[1] - first[1]) * 8 / 1e6 / (last[0] - first[0])

    best, start = 0, 0
    for index, last in enumerate(got):
        while last[0] - got[start][0] >= 1:
            best = max(best, mbit(got[start], last))
            start += 1
        start = min(start, index)
    whole = mbit(got[0], got[-1])
    return whole, max(best, whole)


@pytest.mark.parametrize("delay_ms", [10, 80])
def test_delay(lab, delay_ms):
    times = round_trips(lab, Link(delay_ms=delay_ms))
    assert min(times) >= 2 * delay_ms / 1000
    assert statistics.median(times) <= 2 * delay_ms / 1000 + SLACK_S, times


def test_a_plain_wire_has_no_delay(lab):
    assert statistics.median(round_trips(lab, Link())) <= SLACK_S


def test_jitter(lab):
    """Each way is uniform in 40 ± 20 ms: half of their sums lie within 11.7 ms of 80 (a triangle of ± 40)."""
    times = round_trips(lab, Link(delay_ms=40, jitter_ms=20), 60)
    low, median, high = statistics.quantiles(times)
    assert min(times) >= 0.040
    assert 0.070 <= median <= 0.090 + SLACK_S, times
    assert 0.012 <= high - low <= 0.035, times


@pytest.mark.parametrize("link", [Link(loss=0.05), Link(loss=0.05, delay_ms=5)], ids=["wire", "emulated"])
def test_independent_loss(lab, link):
    """5 % of 4000, within five standard deviations (13.8 packets)."""
    lost = PACKETS - len(sent_and_arrived(lab, link))
    assert 200 - 69 <= lost <= 200 + 69


def test_bursts_of_loss(lab):
    """1 % begin, 25 % end: 3.8 % are lost, in bursts of 4 on average (within five standard errors)."""
    arrived = sent_and_arrived(lab, Link(burst_begin=0.01, burst_end=0.25))
    gaps = [after - before - 1 for before, after in zip(arrived, arrived[1:]) if after > before + 1]
    assert 0.015 <= 1 - len(arrived) / PACKETS <= 0.065
    assert 1.5 <= sum(gaps) / len(gaps) <= 6.5, gaps


def test_a_good_link_loses_nothing_and_keeps_the_order(lab):
    assert sent_and_arrived(lab, Link(delay_ms=20, jitter_ms=10)) == list(range(PACKETS))


def test_reordering_and_duplicates(lab):
    arrived = sent_and_arrived(lab, Link(delay_ms=5, reorder=0.05, reorder_by_ms=10, duplicate=0.02))
    assert set(arrived) == set(range(PACKETS))
    # 2 % of 4000, within five standard deviations (8.9).
    assert 80 - 45 <= len(arrived) - PACKETS <= 80 + 45
    late = sum(after < before for before, after in zip(arrived, arrived[1:]))
    assert 100 <= late <= 400


@pytest.mark.parametrize("delay_ms", [0, 20], ids=["wire", "emulated"])
@pytest.mark.parametrize("rate", [10, 50])
def test_rate(lab, rate, delay_ms):
    """Headers take 3.5 % of 1500-byte packets, and slow start a part of a second."""
    link = Link(rate_mbit=rate, delay_ms=delay_ms, queue_ms=100)
    whole, best = transfer_mbit(lab, link, int(rate * 1e6 / 8 * 3))
    assert whole <= rate * 1.02
    assert best >= rate * 0.75


def test_the_emulator_carries_200_mbit_per_second(lab):
    assert transfer_mbit(lab, Link(delay_ms=1), 100_000_000)[1] >= 200
