"""ASGI application: routes, middleware and lifespan."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI

from seedpoint.service.api import (
    blobs,
    catalogue,
    checkpoints,
    dcp,
    docs,
    files,
    hub,
    hub_unsupported,
    landing,
    openapi,
    operations,
    plan,
    preset_page,
    report,
    slices,
    statistics,
    tensors,
)
from seedpoint.service.api.fast_path import Shortcut
from seedpoint.service.http import problems
from seedpoint.service.http.access_log import Observed
from seedpoint.service.http.compression import Compressed
from seedpoint.service.http.forwarded import Forwarded
from seedpoint.service.settings import Settings
from seedpoint.service.state import State
from seedpoint.service.storage.clock import Clock, system
from seedpoint.service.version import seedpoint_version

ROUTERS = (
    *(
        checkpoints,
        files,
        tensors,
        slices,
        plan,
        dcp,
        statistics,
        report,
        blobs,
        catalogue,
        operations,
    ),
    *(hub, hub_unsupported, preset_page, landing),
)


def create_app(settings: Settings | None = None, *, clock: Clock = system) -> FastAPI:
    """Return the service as an ASGI application; `settings` default to the environment's."""
    settings = settings or Settings()
    state = State.of(settings, clock=clock)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with state.running():
            yield

    app = FastAPI(
        title="Seedpoint",
        summary="Initialized checkpoints from a spec.",
        version=seedpoint_version(),
        lifespan=lifespan,
        docs_url=None,  # `docs.install` adds these pages.
        redoc_url=None,
        openapi_url=None,
        generate_unique_id_function=openapi.operation_id,
        redirect_slashes=False,  # One URL per resource; `tensors/x/` is a tensor's name.
    )
    app.state.seedpoint = state
    for module in ROUTERS:
        app.include_router(module.router)
    problems.install(app)
    app.add_middleware(Compressed)
    app.add_middleware(Shortcut, state=state)
    app.add_middleware(Observed, metrics=state.metrics)
    app.add_middleware(  # The middleware added last is the outermost.
        Forwarded, trusted=settings.forwarded_allow_ips, root_path=settings.root_path or ""
    )
    openapi.install(app)
    docs.install(app)
    return app
