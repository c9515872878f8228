"""The application and the server that runs it."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import AsyncIterator

import uvicorn
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from service import errors, logs, openapi
from service.api import catalogue, checkpoints, files, operations, report, statistics, tensors
from service.connections import Connection
from service.observe import Observed
from service.settings import Settings
from service.state import State

ROUTERS = (checkpoints, files, tensors, statistics, report, catalogue, operations)


def create_app(settings: Settings | None = None) -> FastAPI:
    """The service as an ASGI application, settings from the environment unless given."""
    settings = settings or Settings()
    state = State.of(settings)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with state.running():
            yield

    app = FastAPIOffline(
        title="Seedpoint",
        summary="Initialized checkpoints from a spec.",
        version=operations.seedpoint_version(),
        lifespan=lifespan,
    )
    app.state.seedpoint = state
    for module in ROUTERS:
        app.include_router(module.router)
    errors.install(app)
    app.add_middleware(Observed, metrics=state.metrics)
    openapi.install(app)
    return app


def serve(settings: Settings) -> None:
    """Runs the service until it is told to stop (SIGINT, SIGTERM)."""
    logs.configure(settings.log_format, settings.log_level)
    app = create_app(settings)
    gc.freeze()  # A million objects that stay; looking at them takes milliseconds each time.
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=Connection,
        access_log=False,  # `observe` writes it.
        log_config=None,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )
