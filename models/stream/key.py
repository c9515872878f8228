"""Key of a draw, which carries `(seed, name)` into Philox."""

from __future__ import annotations

import hashlib
import struct


def derive_key(seed: int, name: str) -> tuple[int, int]:
    """Return (k0, k1), each in [0, 2^32): the first 8 bytes of a SHA-256 (STREAM, key and words).

    `name` is the canonical name of the tensor that owns the draw.

    Raises:
        ValueError: `seed` is outside [0, 2^64), or `name` has no UTF-8 form.
    """
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed must be in [0, 2^64), not {seed}")
    digest = hashlib.sha256(b"philox-v1\0" + struct.pack("<Q", seed) + name.encode()).digest()
    k0, k1 = struct.unpack_from("<2I", digest)
    return k0, k1
