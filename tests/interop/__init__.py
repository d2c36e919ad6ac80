"""The interoperability suite: peerage against foreign clients, liars and faults."""
