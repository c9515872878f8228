"""Keys of DCP directories in URLs: a grid, or a text that encodes all options.

A stock reader sends a URL alone, so the URL says everything and nothing is stored.
"""

from __future__ import annotations

import base64
import binascii

from seedpoint.models.errors import SpecError
from seedpoint.models.files.dcp.grid import Grid, GridError
from seedpoint.service.checkpoints.dcp_options import DcpOptions, parse_options
from seedpoint.service.errors import InvalidParameter, MalformedBody, NotFound
from seedpoint.service.planning.strict_json import parse_json

MAX_CHARACTERS = 4096  # Proxies commonly limit a request line to 8 KB.
SHOWN = 60  # Characters of a key that a message quotes.


def encode(options: DcpOptions) -> str:
    """Return the key of `options`: `8x8` without renames, empty if all are defaults.

    Raises: InvalidParameter, if the key would be too long.
    """
    if not options.rename:
        return "" if options.grid is None else str(Grid(*options.grid))
    key = base64.urlsafe_b64encode(options.canonical.encode()).decode().rstrip("=")
    if len(key) > MAX_CHARACTERS:
        raise InvalidParameter(
            f"the options take {len(key)} characters in a URL; at most {MAX_CHARACTERS} are "
            "allowed: use fewer renames, with wildcards",
            path="rename",
        )
    return key


def decode(key: str) -> DcpOptions:
    """Return the options of a key that `encode` returned, or of a grid.

    Raises: NotFound, if it is neither; InvalidParameter, if the grid is not allowed.
    """
    try:
        if (grid := Grid.parse(key)) is not None:
            return DcpOptions(grid=(grid.rows, grid.columns))
    except GridError as error:
        raise InvalidParameter(str(error), path="path.key") from None
    try:
        text = base64.b64decode(f"{key}{'=' * (-len(key) % 4)}", b"-_", validate=True)
        options = parse_options(parse_json(text))
        if key and len(key) <= MAX_CHARACTERS and encode(options) == key:
            return options
    except (ValueError, binascii.Error, SpecError, MalformedBody):
        pass
    raise NotFound(f"no directory {key[:SHOWN]!r}; it is a grid such as 8x8, or a POST's Location")
