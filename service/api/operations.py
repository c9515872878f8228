"""Routes for operators: health, readiness, metrics, version."""

from __future__ import annotations

import platform

import numba
import numpy as np
import torch
from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from seedpoint.models.plan.plan import FORMAT, STREAM
from seedpoint.service.api import schemas
from seedpoint.service.api.dependencies import Service
from seedpoint.service.http.json_response import json_response
from seedpoint.service.version import seedpoint_version

router = APIRouter(tags=["operations"])


@router.head("/healthz", responses=schemas.HEALTH)
@router.get("/healthz", responses=schemas.HEALTH)
async def get_health() -> Response:
    """Report that the process answers."""
    return json_response({"status": "ok"})


@router.head("/readyz", responses=schemas.READINESS)
@router.get("/readyz", responses=schemas.READINESS)
async def get_readiness(service: Service) -> Response:
    """Report whether workers are warm, kernels compiled and the store writable."""
    missing = await service.not_ready()
    if missing:
        return json_response({"status": "not ready", "missing": missing}, 503, {"Retry-After": "1"})
    return json_response({"status": "ready"})


@router.head("/metrics", responses=schemas.METRICS)
@router.get("/metrics", responses=schemas.METRICS)
async def get_metrics(service: Service) -> Response:
    """Return metrics in Prometheus's text format."""
    return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)


@router.head("/v1/version", responses=schemas.VERSION)
@router.get("/v1/version", responses=schemas.VERSION)
async def get_version(service: Service) -> Response:
    """Return the versions of the service, stream, plan format and libraries, and the device."""
    return json_response(
        {
            "seedpoint": seedpoint_version(),
            "stream": STREAM,
            "plan_format": FORMAT,
            "device": service.checkpoints.device,
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "numpy": np.__version__,
            "numba": numba.__version__,
        }
    )
