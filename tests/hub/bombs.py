"""Parquet files that say something else than is in them."""


def varint(number, length=0):
    """A number as Thrift's compact protocol has it, in at least so many bytes."""
    number, written = 2 * number, bytearray()
    while number > 127 or len(written) + 1 < length:
        written.append(number & 127 | 128)
        number >>= 7
    return bytes(written + bytes([number]))


def say_less(path, said):
    """Let the footer of a file say that its columns unpack to a kilobyte."""
    content = path.read_bytes()
    at = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    long = varint(said)
    assert long in content[at:]
    path.write_bytes(content[:at] + content[at:].replace(long, varint(1000, len(long))))
