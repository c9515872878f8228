"""`Content-Disposition` (RFC 6266) for arbitrary file names."""

from __future__ import annotations

import re
from urllib.parse import quote

MOST_BYTES = 200  # Limit of a file name without its suffix; file systems allow 255 in all.

_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f/\\\ud800-\udfff]")
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9 !#$&'()+,.=@^_`{}~-]")
_ATTR_CHAR = "!#$&+-.^_`|~"  # RFC 8187, 3.2.1, without letters and digits


def content_disposition(kind: str, name: str, suffix: str = "") -> str:
    """Return the field for the file `name + suffix`; `kind` is "attachment" or "inline".

    A name that is not plain ASCII is given twice: encoded by RFC 8187, and in ASCII with `_`
    for every other character. Separators and controls become `_` in both.
    """
    encoded = _UNFIT.sub("_", name).encode()[:MOST_BYTES]
    shown = encoded.decode(errors="ignore") + suffix
    plain = _NOT_PLAIN.sub("_", shown)
    field = f'{kind}; filename="{plain}"'
    return field if plain == shown else f"{field}; filename*=UTF-8''{quote(shown, _ATTR_CHAR)}"
