"""Effects: input and output that a flow yields, and a driver performs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import anyio
import httpx

if TYPE_CHECKING:
    from seedpoint_client.flows.drivers import AsyncDriver, Driver

R = TypeVar("R")

WRITE_BYTES = 1 << 20  # An asynchronous body goes to a thread in pieces of this size.


class Effect(ABC, Generic[R]):
    """Input or output with a result, for either driver."""

    @abstractmethod
    def perform(self, driver: Driver) -> R: ...

    @abstractmethod
    async def perform_async(self, driver: AsyncDriver) -> R: ...


Flow = Generator[Effect[Any], Any, R]


def perform(effect: Effect[R]) -> Flow[R]:
    """Return the result of `effect`. Raises what performing it raises."""
    result: R = yield effect
    return result


@dataclass(frozen=True, slots=True)
class Request:
    """HTTP request; `path` is a link of the service, or a path below the client's URL."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    json: Any = None

    def built(self, http: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """Return the request with the URL, headers and timeout of the client `http`."""
        address = _address(http.base_url, self.path)
        params = self.params or None  # An empty mapping would remove the query of the path.
        return http.build_request(
            self.method, address, headers=self.headers, params=params, json=self.json
        )


def _address(base: httpx.URL, path: str) -> httpx.URL | str:
    """Return the address of `path`; links of a service under a prefix have the prefix already."""
    prefix = base.path.rstrip("/")
    return base.join(path) if prefix and path.startswith(f"{prefix}/v1/") else path


@dataclass(slots=True)
class Send(Effect[httpx.Response]):
    """Send a request and read the answer; `began` says that the answer's head has arrived."""

    request: Request
    began: bool = False

    def perform(self, driver: Driver) -> httpx.Response:
        answer = driver.http.send(self.request.built(driver.http), stream=True)
        self.began = True
        try:
            answer.read()
        finally:
            answer.close()
        return answer

    async def perform_async(self, driver: AsyncDriver) -> httpx.Response:
        answer = await driver.http.send(self.request.built(driver.http), stream=True)
        self.began = True
        try:
            await answer.aread()
        finally:
            await answer.aclose()
        return answer


class Sink(Protocol):
    """Receiver of a body."""

    def begin(self, answer: httpx.Response) -> bool:
        """Return whether to pass on the body of this answer; otherwise it is read as an error."""

    def write(self, data: bytes) -> bool:
        """Take the next bytes of the body; return whether more are wanted."""


@dataclass(slots=True)
class Receive(Effect[httpx.Response]):
    """Send a request and pass the answer's body to `sink` as it arrives."""

    request: Request
    sink: Sink

    def perform(self, driver: Driver) -> httpx.Response:
        answer = driver.http.send(self.request.built(driver.http), stream=True)
        try:
            if not self.sink.begin(answer):
                answer.read()
                return answer
            for data in answer.iter_raw():  # An interrupted download keeps every byte.
                driver.check()
                if not self.sink.write(data):
                    break
        finally:
            answer.close()
        return answer

    async def perform_async(self, driver: AsyncDriver) -> httpx.Response:
        answer = await driver.http.send(self.request.built(driver.http), stream=True)
        try:
            if not self.sink.begin(answer):
                await answer.aread()
            else:
                await self._pass_on(answer)
        finally:
            await answer.aclose()
        return answer

    async def _pass_on(self, answer: httpx.Response) -> None:
        waiting = bytearray()
        try:
            async for data in answer.aiter_raw():
                waiting += data
                if len(waiting) >= WRITE_BYTES:
                    piece, waiting = bytes(waiting), bytearray()
                    if not await anyio.to_thread.run_sync(self.sink.write, piece):
                        break
        finally:
            if waiting:
                self.sink.write(bytes(waiting))


@dataclass(frozen=True, slots=True)
class Pause(Effect[None]):
    """Wait."""

    seconds: float

    def perform(self, driver: Driver) -> None:
        driver.stopped.wait(self.seconds)
        driver.check()

    async def perform_async(self, driver: AsyncDriver) -> None:
        await anyio.sleep(self.seconds)


@dataclass(frozen=True, slots=True)
class Do(Effect[R]):
    """Call a function that blocks: file access or computation. Asynchronously, in a thread."""

    work: Callable[[], R]

    def perform(self, driver: Driver) -> R:
        return self.work()

    async def perform_async(self, driver: AsyncDriver) -> R:
        return await anyio.to_thread.run_sync(self.work)


@dataclass(frozen=True, slots=True)
class Together(Effect["list[R]"], Generic[R]):
    """Run several flows, `at_once` at a time, and return their results in order.

    The first error ends the others, which stop at their next piece of a body, and is raised.
    """

    flows: Sequence[Flow[R]]
    at_once: int

    def perform(self, driver: Driver) -> list[R]:
        below = driver.below()
        with ThreadPoolExecutor(self.at_once) as executor:
            futures = [executor.submit(below.run, flow) for flow in self.flows]
            try:
                for future in as_completed(futures):
                    future.result()
            except BaseException:
                below.stopped.set()
                for future in futures:
                    future.cancel()
                raise
        return [future.result() for future in futures]

    async def perform_async(self, driver: AsyncDriver) -> list[R]:
        results: dict[int, R] = {}
        errors: list[Exception] = []
        turns = anyio.Semaphore(self.at_once)

        async def run(number: int, flow: Flow[R]) -> None:
            async with turns:
                try:
                    results[number] = await driver.run(flow)
                except Exception as error:  # noqa: BLE001 - raised below, without a group
                    errors.append(error)
                    group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            for number, flow in enumerate(self.flows):
                group.start_soon(run, number, flow)
        if errors:
            raise errors[0]
        return [results[number] for number in range(len(self.flows))]
