"""Drivers, which run flows: one in this thread, one in an event loop."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import httpx

from seedpoint_client.flows.effects import Flow, R


class Stopped(Exception):
    """End of a flow because another one that ran beside it has failed."""


@dataclass(frozen=True, slots=True)
class Driver:
    """Runs flows over a client of httpx, until `stopped` is set."""

    http: httpx.Client
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self, flow: Flow[R]) -> R:
        """Return the result of `flow`, which receives the errors of its effects."""
        try:
            effect = next(flow)
            while True:
                try:
                    value = effect.perform(self)
                except Exception as error:  # noqa: BLE001, PERF203 - the flow decides
                    effect = flow.throw(error)
                else:
                    effect = flow.send(value)
        except StopIteration as done:
            result: R = done.value
            return result
        finally:
            flow.close()

    def below(self) -> Driver:
        """Return a driver over the same client that can be stopped alone."""
        return Driver(self.http)

    def check(self) -> None:
        """Raise Stopped if this driver was stopped."""
        if self.stopped.is_set():
            raise Stopped


@dataclass(frozen=True, slots=True)
class AsyncDriver:
    """Runs flows over an asynchronous client of httpx."""

    http: httpx.AsyncClient

    async def run(self, flow: Flow[R]) -> R:
        """Return the result of `flow`, which receives the errors of its effects."""
        try:
            effect = next(flow)
            while True:
                try:
                    value = await effect.perform_async(self)
                except Exception as error:  # noqa: BLE001, PERF203 - the flow decides
                    effect = flow.throw(error)
                else:
                    effect = flow.send(value)
        except StopIteration as done:
            result: R = done.value
            return result
        finally:
            flow.close()
