"""Drivers for foreign BitTorrent clients and trackers, and for peerage itself.

Each driver runs one client as one process, carries one torrent at a time, and
offers the interface of :class:`clients.base.Client`. The interop tests and the
benchmark harness share them.
"""
