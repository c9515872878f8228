"""Baseline applications that send bytes without computing them, as upper bound of a server.

`/constant/MIB` sends a 1 MiB buffer MIB times; `/file` sends the file named by the environment
variable BENCHMARK_FILE with Starlette's `FileResponse`.
"""

from __future__ import annotations

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

BUFFER = bytes(1 << 20)


class Constant(Response):
    """Response of `mebibytes` MiB that sends the same buffer repeatedly."""

    def __init__(self, mebibytes: int) -> None:
        self.mebibytes = mebibytes
        self.background = None
        self.body = b""
        self.status_code = 200
        self.init_headers({"content-length": str(mebibytes << 20)})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        for left in reversed(range(self.mebibytes)):
            await send({"type": "http.response.body", "body": BUFFER, "more_body": left > 0})


async def constant(request: Request) -> Response:
    return Constant(int(request.path_params["mebibytes"]))


async def file(request: Request) -> Response:
    return FileResponse(os.environ["BENCHMARK_FILE"])


async def ready(request: Request) -> Response:
    return PlainTextResponse("ready")


app = Starlette(
    routes=[
        Route("/constant/{mebibytes:int}", constant),
        Route("/file", file),
        Route("/readyz", ready),
    ]
)
