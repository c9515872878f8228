"""The OpenAPI document and the pages that show it, which load nothing from other hosts."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import fastapi_offline
from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from pydantic_core import to_json
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from seedpoint.service.api.links import Links
from seedpoint.service.api.report import html_page, safe_headers
from seedpoint.service.http.json_response import json_bytes

OPENAPI = "/openapi.json"
REDOC_OPENAPI = "/redoc/openapi.json"
SCRIPTS = "/static-offline-docs"

_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_READ = ["GET", "HEAD"]
# Both pages use inline styles; Redoc runs its search in a worker made from a blob.
_SOURCES = {
    **dict.fromkeys(("default-src", "base-uri", "form-action", "frame-ancestors"), "'none'"),
    "connect-src": "'self'",
    "font-src": "'self' data:",
    "img-src": "'self' data:",
    "style-src": "'self' 'unsafe-inline'",
    "worker-src": "blob:",
}
_CLOSED = "default-src 'none'; frame-ancestors 'none'"


class _Scripts(StaticFiles):
    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


def install(app: FastAPI) -> None:
    """Add the pages, their scripts and the OpenAPI document to `app`."""

    @lru_cache(maxsize=4)  # Few prefixes are real; those that a client makes up are evicted.
    def document(root: str) -> bytes:
        return to_json(app.openapi() | ({"servers": [{"url": root}]} if root else {}))

    @app.api_route(OPENAPI, methods=_READ, include_in_schema=False)
    def openapi(request: Request) -> Response:
        return json_bytes(document(Links.of(request).root), headers=safe_headers(_CLOSED))

    @lru_cache(maxsize=4)
    def redoc_document(root: str) -> bytes:
        return to_json(_without_nesting(json.loads(document(root))))

    @app.api_route(REDOC_OPENAPI, methods=_READ, include_in_schema=False)
    def redoc_openapi(request: Request) -> Response:
        return json_bytes(redoc_document(Links.of(request).root), headers=safe_headers(_CLOSED))

    @app.api_route("/docs", methods=_READ, include_in_schema=False)
    def swagger(request: Request) -> Response:
        root = Links.of(request).root
        page = get_swagger_ui_html(
            openapi_url=root + OPENAPI,
            title=f"{app.title} · API",
            swagger_js_url=f"{root}{SCRIPTS}/swagger-ui-bundle.js",
            swagger_css_url=f"{root}{SCRIPTS}/swagger-ui.css",
            swagger_favicon_url=f"{root}{SCRIPTS}/favicon.png",
        )
        return _page(page)

    @app.api_route("/redoc", methods=_READ, include_in_schema=False)
    def redoc(request: Request) -> Response:
        root = Links.of(request).root
        page = get_redoc_html(
            openapi_url=root + REDOC_OPENAPI,
            title=f"{app.title} · API",
            redoc_js_url=f"{root}{SCRIPTS}/redoc.standalone.js",
            redoc_favicon_url=f"{root}{SCRIPTS}/favicon.png",
            with_google_fonts=False,
        )
        return _page(page)

    folder = Path(fastapi_offline.__file__).parent / "static"
    app.mount(SCRIPTS, _Scripts(directory=folder), name="scripts")


def _without_nesting(document: dict[str, Any]) -> dict[str, Any]:
    """Return `document` with the layers inside layers by their `type` alone.

    Redoc expands a schema as far as it nests, and the layers of a container may be containers: it
    would never finish.
    """
    layer = document["components"]["schemas"]["Layer"]
    document["components"]["schemas"]["Layer"] = {
        "title": "Layer",
        "description": "A layer; `GET /v1/architectures` has the schema of each `type`.",
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"type": "string", "enum": list(layer["discriminator"]["mapping"])}},
    }
    return document


def _page(page: Response) -> Response:
    """Return `page` under a policy that allows its own scripts and nothing from other hosts."""
    # Redoc would offer its own document, which lacks the nested layers, for download.
    html = bytes(page.body).decode().replace("<redoc ", "<redoc hide-download-button ")
    digests = (hashlib.sha256(script.encode()).digest() for script in _INLINE_SCRIPT.findall(html))
    inline = "".join(f" 'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return html_page(
        html, headers=safe_headers(_policy(_SOURCES | {"script-src": f"'self'{inline}"}))
    )


def _policy(sources: Mapping[str, str]) -> str:
    return "; ".join(f"{name} {value}" for name, value in sources.items())
