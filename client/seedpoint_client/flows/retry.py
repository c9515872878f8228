"""Retries: which requests are repeated, when, and how often."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

import httpx

from seedpoint_client.flows.effects import Flow, Pause, Request, Send, perform

BROKEN = (
    httpx.NetworkError,
    httpx.TimeoutException,
    httpx.RemoteProtocolError,
    httpx.ProxyError,
)
"""Errors of a connection that another attempt may not meet."""

BUSY = frozenset({429, 503})
"""Answers of a service that did not begin with the request."""

GATEWAY = frozenset({502, 504})
"""Answers of a proxy, behind which the service may be at work on the request."""

SAFE = frozenset({"GET", "HEAD"})
"""Methods whose request is repeated whatever became of it."""

FIRST_PAUSE_SECONDS = 0.2  # after a broken connection; doubled with each further one in a row
BUSY_PAUSE_SECONDS = 1.0  # after a busy answer without Retry-After; doubled likewise
LONGEST_PAUSE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Retry:
    """Policy of a client.

    A broken connection is tried `retries` more times in a row. A busy service is asked for
    `patience_seconds`. Pauses grow exponentially, and `jitter`, a number in [0, 1), shortens each
    by up to half so that many clients do not return together; `Retry-After` is taken as it is.
    """

    retries: int = 5
    patience_seconds: float = 60.0
    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random

    def exchange(self, request: Request) -> Flow[httpx.Response]:
        """Return the answer to `request`, a success or not.

        Raises: httpx.TransportError if no attempt is left; at once for a POST whose answer began,
        or that the service is still working on.
        """
        attempts = Attempts(self)
        while True:
            send = Send(request)
            try:
                answer = yield from perform(send)
            except BROKEN as error:
                pause = attempts.after_error() if _may_repeat(send, error) else None
                if pause is None:
                    raise
            else:
                pause = attempts.after_answer(answer)
                if pause is None:
                    return answer
            yield from perform(Pause(pause))


class Attempts:
    """Attempts at one request, or at one download."""

    def __init__(self, retry: Retry) -> None:
        self._retry = retry
        self.progressed()

    def progressed(self) -> None:
        """Count from the beginning again: an attempt has brought something."""
        self._errors = self._refusals = 0
        self._until = self._retry.clock() + self._retry.patience_seconds

    def after_error(self) -> float | None:
        """Return the pause in seconds after a broken connection; None if no attempt is left."""
        self._errors += 1
        if self._errors > self._retry.retries:
            return None
        return self._backoff(FIRST_PAUSE_SECONDS, self._errors)

    def after_answer(self, answer: httpx.Response) -> float | None:
        """Return the pause in seconds after an answer; None if it is to be taken as it is."""
        if not _is_busy(answer):
            return None
        self._refusals += 1
        pause = retry_after_seconds(answer)
        if pause is None:
            pause = self._backoff(BUSY_PAUSE_SECONDS, self._refusals)
        return None if self._retry.clock() + pause > self._until else pause

    def _backoff(self, first_seconds: float, times: int) -> float:
        longest = min(first_seconds * 2.0 ** (times - 1), LONGEST_PAUSE_SECONDS)
        return longest * (1 - self._retry.jitter() / 2)


def retry_after_seconds(answer: httpx.Response) -> float | None:
    """Return the pause that `Retry-After` asks for, in seconds or as a date; None without one."""
    text = answer.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=timezone.utc)
    return max(0.0, (until - datetime.now(timezone.utc)).total_seconds())


def _is_busy(answer: httpx.Response) -> bool:
    """Return whether a later request may be answered otherwise."""
    if answer.request.method in SAFE:
        return answer.status_code in BUSY | GATEWAY
    return answer.status_code in BUSY


def _may_repeat(send: Send, error: Exception) -> bool:
    """Return whether to send a request again whose connection broke.

    A POST is repeated only if no answer began: the same spec gives the same checkpoint. After a
    read timeout the service is at work on it, and would begin anew.
    """
    if send.request.method in SAFE:
        return True
    return not send.began and not isinstance(error, httpx.ReadTimeout)
