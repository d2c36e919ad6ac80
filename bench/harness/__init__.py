"""The benchmark harness behind ``bench/run``.

Modules, bottom up: ``measure`` (CPU, memory, warm pages), ``payload`` (files and
torrents), ``tracker``, ``rqbit`` and ``peerage`` (drivers that tests/clients does
not have), ``contestants`` (who takes part), ``transfer`` (one measured run),
``scenarios`` (which runs there are), ``targets`` and ``report`` (what is said
about them), ``cli``.
"""
