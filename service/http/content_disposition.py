"""`Content-Disposition` (RFC 6266) for names that may hold anything."""

from __future__ import annotations

import re
from urllib.parse import quote

MOST_BYTES = 200  # Of a file name before its suffix; file systems take 255 in all.

_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f/\\\ud800-\udfff]")
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9 !#$&'()+,.=@^_`{}~-]")
_ATTR_CHAR = "!#$&+-.^_`|~"  # RFC 8187, 3.2.1, besides letters and digits


def content_disposition(kind: str, name: str, suffix: str = "") -> str:
    """The field for a file called `name` and `suffix`; `kind` is "attachment" or "inline".

    A name that is not plain ASCII is given twice: for those who know RFC 8187, and in
    `_` and what is left of it for all others. Separators and controls are `_` in both.
    """
    encoded = _UNFIT.sub("_", name).encode()[:MOST_BYTES]
    shown = encoded.decode(errors="ignore") + suffix
    plain = _NOT_PLAIN.sub("_", shown)
    field = f'{kind}; filename="{plain}"'
    return field if plain == shown else f"{field}; filename*=UTF-8''{quote(shown, _ATTR_CHAR)}"
