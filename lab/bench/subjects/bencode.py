"""Bencode (BitTorrent's BEP 3), the encoding of rtpengine's control protocol."""

from __future__ import annotations

Value = str | int | list["Value"] | dict[str, "Value"]


def encode(value: Value) -> bytes:
    """Encode a value."""
    match value:
        case str():
            text = value.encode()
            return b"%d:%b" % (len(text), text)
        case int():
            return b"i%de" % value
        case list():
            return b"l" + b"".join(map(encode, value)) + b"e"
        case dict():
            return b"d" + b"".join(encode(key) + encode(value[key]) for key in sorted(value)) + b"e"


def decode(data: bytes) -> Value:
    """Decode a value.

    Raises:
        ValueError: the bytes are not bencode.
    """
    value, end = _decode(data, 0)
    if end != len(data):
        raise ValueError(f"{len(data) - end} bytes follow the value")
    return value


def _decode(data: bytes, at: int) -> tuple[Value, int]:
    match data[at : at + 1]:
        case b"i":
            end = data.index(b"e", at)
            return int(data[at + 1 : end]), end + 1
        case b"l":
            return _decode_list(data, at + 1)
        case b"d":
            items, end = _decode_list(data, at + 1)
            return dict(zip(map(str, items[::2]), items[1::2], strict=True)), end
        case _:
            colon = data.index(b":", at)
            end = colon + 1 + int(data[at:colon])
            return data[colon + 1 : end].decode(), end


def _decode_list(data: bytes, at: int) -> tuple[list[Value], int]:
    items: list[Value] = []
    while data[at : at + 1] != b"e":
        item, at = _decode(data, at)
        items.append(item)
    return items, at + 1
