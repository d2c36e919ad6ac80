"""Bencode, small and strict enough for tests. Dictionary keys are bytes."""


def encode(value):
    """Canonical bencoding of int, bytes, str, list and dict."""
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, (bytes, bytearray)):
        return b"%d:%b" % (len(value), value)
    if isinstance(value, (list, tuple)):
        return b"l" + b"".join(map(encode, value)) + b"e"
    if isinstance(value, dict):
        items = sorted((key.encode() if isinstance(key, str) else key, item) for key, item in value.items())
        return b"d" + b"".join(encode(key) + encode(item) for key, item in items) + b"e"
    raise TypeError(f"cannot bencode {type(value).__name__}")


def decode_prefix(data, at=0):
    """The value that starts at ``at``, and the position after it."""
    head = data[at:at + 1]
    if head == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1:end]), end + 1
    if head in (b"l", b"d"):
        at += 1
        items = []
        while data[at:at + 1] != b"e":
            item, at = decode_prefix(data, at)
            items.append(item)
        if head == b"l":
            return items, at + 1
        return dict(zip(items[0::2], items[1::2], strict=True)), at + 1
    colon = data.index(b":", at)
    start = colon + 1
    end = start + int(data[at:colon])
    if end > len(data):
        raise ValueError("string longer than the input")
    return data[start:end], end


def decode(data):
    """The one value that ``data`` is."""
    value, end = decode_prefix(data)
    if end != len(data):
        raise ValueError("trailing data")
    return value
