"""The benchmark harness behind ``bench/run``.

The clients are driven by tests/clients. Modules, bottom up: ``measure`` (CPU,
memory, warm pages), ``payload`` (files and torrents), ``rqbit`` and
``libtorrent_limited`` (what tests/clients does not have), ``contestants`` (who
takes part), ``transfer`` (one measured run), ``scenarios`` (which runs there
are), ``targets`` and ``report`` (what is said about them), ``cli``.
"""
