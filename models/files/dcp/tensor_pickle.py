"""Pickle of a tensor as `torch.save` writes it, without the tensor.

The opcodes are written here, one by one, so that the bytes depend on no version of torch or Python.
Format: the module `pickletools` of Python, protocol 2; `Tensor.__reduce_ex__` of torch.
"""

from __future__ import annotations

import struct

from seedpoint.models.dtypes import DType

# Storage classes of the dtypes that `torch.save` writes with one (`_dtype_to_storage_type_map`); it
# writes the others as bytes and the dtype.
STORAGES = {
    "float64": "DoubleStorage",
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "complex64": "ComplexFloatStorage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "int16": "ShortStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}

_PROTOCOL_2, _STOP = b"\x80\x02", b"."
_MARK, _TUPLE, _EMPTY_TUPLE, _REDUCE, _BINPERSID = b"(", b"t", b")", b"R", b"Q"
_TUPLES = {1: b"\x85", 2: b"\x86", 3: b"\x87"}
_FALSE = b"\x89"


def tensor_pickle(dtype: DType, shape: tuple[int, ...]) -> bytes:
    """Return the pickle of a contiguous CPU tensor whose storage is the record `data/0`."""
    writer, numel = _Writer(), 1
    strides: list[int] = []
    for size in reversed(shape):
        strides.insert(0, numel)
        numel *= max(size, 1)
    numel = 0 if 0 in shape else numel
    storage = STORAGES.get(dtype.name)
    rebuild = "_rebuild_tensor_v3" if storage is None else "_rebuild_tensor_v2"
    kind = ("torch.storage", "UntypedStorage") if storage is None else ("torch", storage)
    length = numel * dtype.itemsize if storage is None else numel
    return b"".join(
        (
            *(_PROTOCOL_2, writer.name("torch._utils", rebuild), _MARK),
            *(_MARK, writer.text("storage"), writer.name(*kind), writer.text("0")),
            *(writer.text("cpu"), _whole(length), _TUPLE, writer.put(), _BINPERSID),
            *(_whole(0), writer.wholes(shape), writer.wholes(strides), _FALSE),
            *(writer.name("collections", "OrderedDict"), _EMPTY_TUPLE, _REDUCE, writer.put()),
            writer.name("torch", dtype.name) if storage is None else b"",
            *(_TUPLE, writer.put(), _REDUCE, writer.put(), _STOP),
        )
    )


class _Writer:
    """Writer of opcodes, which stores values under consecutive numbers as Python's pickler does."""

    def __init__(self) -> None:
        self._count = 0

    def put(self) -> bytes:
        self._count += 1
        return b"q%c" % (self._count - 1)  # BINPUT; there are fewer than 256.

    def name(self, module: str, name: str) -> bytes:
        return f"c{module}\n{name}\n".encode() + self.put()

    def text(self, value: str) -> bytes:
        return b"X" + struct.pack("<I", len(value)) + value.encode() + self.put()

    def wholes(self, values: tuple[int, ...] | list[int]) -> bytes:
        items = b"".join(map(_whole, values))
        if not values:
            return _EMPTY_TUPLE
        if (short := _TUPLES.get(len(values))) is not None:
            return items + short + self.put()
        return _MARK + items + _TUPLE + self.put()


def _whole(value: int) -> bytes:
    if value < 1 << 8:
        return b"K%c" % value
    if value < 1 << 16:
        return b"M" + struct.pack("<H", value)
    if value < 1 << 31:
        return b"J" + struct.pack("<i", value)
    nbytes = value.bit_length() // 8 + 1  # A bit for the sign.
    return b"\x8a%c" % nbytes + value.to_bytes(nbytes, "little")
