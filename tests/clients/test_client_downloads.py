"""Downloads by either client: in ranges, resumed, checked, and told of."""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from seedpoint_client import AsyncClient, Client, DigestMismatch, Problem, Progress

from tests.support.clients import Cutter
from tests.support.relay import Relay
from tests.support.running import Running, mlp

FILE = "model.safetensors"
SPEC = mlp(hidden=65_536)  # 8 MB: up to 7 ranges of 1 MiB or more.
MIB = 1 << 20

Download = Callable[..., list[Path]]


def by_client(url: str, id: str, folder: Path, settings: dict[str, Any], **options: Any) -> Any:
    with Client(url, **settings) as client:
        return client.download(id, folder, **options)


def by_async_client(
    url: str, id: str, folder: Path, settings: dict[str, Any], **options: Any
) -> Any:
    async def run() -> Any:
        async with AsyncClient(url, **settings) as client:
            return await client.download(id, folder, **options)

    return anyio.run(run)


@pytest.fixture(params=[by_client, by_async_client], ids=["sync", "async"])
def download(request: pytest.FixtureRequest) -> Any:
    """A download by a client of its own: download(url, id, folder, settings, **options)."""
    return request.param


@pytest.fixture(scope="module")
def issued(service: Running) -> tuple[str, str]:
    """The id of the checkpoint, and the SHA-256 of its file."""
    id = service.issue(SPEC).json()["id"]
    content = service.http.get(f"/v1/checkpoints/{id}/files/{FILE}").content
    return id, hashlib.sha256(content).hexdigest()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def spans(ranges: list[str | None], size: int) -> list[tuple[int, int]]:
    found = []
    for text in ranges:
        start, last = re.fullmatch(r"bytes=(\d+)-(\d*)", text or "bytes=0-").groups()  # type: ignore[union-attr]
        found.append((int(start), int(last) + 1 if last else size))
    return sorted(found)


def test_ranges_at_once_give_the_same_file(
    service: Running, issued: tuple[str, str], download: Any, tmp_path: Path
) -> None:
    id, expected = issued
    relay = Relay(service.url)
    (path,) = download(service.url, id, tmp_path, {"transport": relay}, ranges=4, verify=True)
    assert sha256(path) == expected
    size = path.stat().st_size
    wanted = spans(relay.ranges, size)
    assert len(wanted) == 4
    assert [start for start, _ in wanted] == [0, *(stop for _, stop in wanted[:-1])]
    assert wanted[-1][1] == relay.carried_bytes == size
    assert [entry.name for entry in tmp_path.iterdir()] == [FILE]


def test_a_small_file_is_one_range(service: Running, tmp_path: Path) -> None:
    id = service.issue(mlp()).json()["id"]
    relay = Relay(service.url)
    by_client(service.url, id, tmp_path, {"transport": relay}, ranges=8)
    assert relay.ranges == [None]


def test_ranges_that_are_cut_go_on_where_they_stopped(
    service: Running, issued: tuple[str, str], download: Any, tmp_path: Path
) -> None:
    id, expected = issued
    relay = Relay(service.url, cut_after_bytes=500_000, cuts=8)
    (path,) = download(service.url, id, tmp_path, {"transport": relay}, ranges=4)
    assert sha256(path) == expected
    assert relay.cuts_left == 0
    assert relay.carried_bytes == path.stat().st_size


def test_ranges_go_on_through_a_proxy_that_closes_connections(
    service: Running, issued: tuple[str, str], download: Any, tmp_path: Path
) -> None:
    id, expected = issued
    cutter = Cutter(service.port, after_bytes=1_000_000, times=4)
    try:
        (path,) = download(cutter.url, id, tmp_path, {}, ranges=3, verify=True)
    finally:
        cutter.close()
    assert cutter.cuts == 4
    assert sha256(path) == expected


@pytest.mark.parametrize("first", [1, 4])
@pytest.mark.parametrize("second", [1, 3, 7])
def test_a_later_download_of_any_kind_goes_on_with_an_unfinished_one(
    service: Running,
    issued: tuple[str, str],
    download: Any,
    tmp_path: Path,
    first: int,
    second: int,
) -> None:
    id, expected = issued
    broken = Relay(service.url, cut_after_bytes=700_000, cuts=99)
    settings = {"transport": broken, "retries": 0}
    with pytest.raises(httpx.ReadError, match="cut off"):
        download(service.url, id, tmp_path, settings, ranges=first)
    (part,) = tmp_path.iterdir()
    assert part.suffix == ".part"
    relay = Relay(service.url)
    (path,) = download(service.url, id, tmp_path, {"transport": relay}, ranges=second)
    assert sha256(path) == expected
    assert [entry.name for entry in tmp_path.iterdir()] == [FILE]
    # What is in flight when a range fails may be lost, but none that is kept is fetched again.
    assert relay.carried_bytes <= path.stat().st_size - 700_000
    assert relay.carried_bytes + broken.carried_bytes <= path.stat().st_size + first * MIB


def test_a_complete_part_is_not_fetched_again(
    service: Running, issued: tuple[str, str], tmp_path: Path
) -> None:
    id, expected = issued
    (path,) = by_client(service.url, id, tmp_path, {})
    etag = service.http.head(f"/v1/checkpoints/{id}/files/{FILE}").headers["ETag"].strip('"')
    path.rename(tmp_path / f"{FILE}.{etag}.part")
    relay = Relay(service.url)
    by_client(service.url, id, tmp_path, {"transport": relay}, ranges=4)
    assert relay.ranges == []
    assert sha256(path) == expected


def test_a_journal_that_a_crash_tore_is_not_trusted(
    service: Running, issued: tuple[str, str], tmp_path: Path
) -> None:
    id, expected = issued
    head = service.http.head(f"/v1/checkpoints/{id}/files/{FILE}").headers
    part = tmp_path / f"{FILE}.{head['ETag'].strip(chr(34))}.part"
    part.write_bytes(bytes(int(head["Content-Length"])) + b"[[10, 2")
    (path,) = by_client(service.url, id, tmp_path, {})
    assert sha256(path) == expected


def test_progress_counts_every_byte_once(
    service: Running, issued: tuple[str, str], download: Any, tmp_path: Path
) -> None:
    id, _ = issued
    told: list[Progress] = []
    relay = Relay(service.url, cut_after_bytes=500_000, cuts=3)
    (path,) = download(
        service.url, id, tmp_path, {"transport": relay}, ranges=3, progress=told.append
    )
    size = path.stat().st_size
    counts = [each.done_bytes for each in told]
    assert counts == sorted(counts)
    assert told[0] == Progress(FILE, 0, size, 0, size)
    assert told[-1] == Progress(FILE, size, size, size, size)


def test_progress_goes_over_all_files(service: Running, download: Any, tmp_path: Path) -> None:
    id = service.issue(mlp() | {"max_shard_size": "15kB"}).json()["id"]
    told: list[Progress] = []
    paths = download(service.url, id, tmp_path, {}, progress=told.append)
    total = sum(path.stat().st_size for path in paths)
    assert list(dict.fromkeys(each.file for each in told)) == [path.name for path in paths]
    assert {each.total_bytes for each in told} == {total}
    assert told[-1].done_bytes == total


def test_what_is_kept_counts_as_done(
    service: Running, issued: tuple[str, str], tmp_path: Path
) -> None:
    id, _ = issued
    broken = Relay(service.url, cut_after_bytes=700_000, cuts=1)
    with pytest.raises(httpx.ReadError):
        by_client(service.url, id, tmp_path, {"transport": broken, "retries": 0})
    told: list[Progress] = []
    by_client(service.url, id, tmp_path, {}, progress=told.append)
    assert told[0].done_bytes == 700_000


def test_an_error_of_the_progress_function_ends_the_download(
    service: Running, issued: tuple[str, str], download: Any, tmp_path: Path
) -> None:
    def stop(progress: Progress) -> None:
        if progress.done_bytes > 2 * MIB:
            raise InterruptedError("enough")

    with pytest.raises(InterruptedError, match="enough"):
        download(service.url, issued[0], tmp_path, {}, ranges=4, progress=stop)
    assert not (tmp_path / FILE).exists()


# --- a service that is not as it should be -----------------------------------------

CONTENT = bytes(range(256)) * 16_384  # 4 MiB
RESOURCE = {"id": "7", "links": {"files": {FILE: f"/v1/checkpoints/7/files/{FILE}"}}}


class Files:
    """Handler of a service with one file, which answers GETs by `answer(start, stop)`."""

    def __init__(self, answer: Callable[[int, int], httpx.Response]) -> None:
        self.answer = answer
        self.gets = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if "/files/" not in request.url.path:
            return httpx.Response(200, json=RESOURCE)
        if request.method == "HEAD":
            headers = {"Content-Length": str(len(CONTENT)), "ETag": '"a"'}
            return httpx.Response(200, headers=headers)
        self.gets += 1
        ((start, stop),) = spans([request.headers.get("Range")], len(CONTENT))
        return self.answer(start, stop)


def settings(files: Files, **more: Any) -> dict[str, Any]:
    return {"transport": httpx.MockTransport(files), **more}


def partial(start: int, stop: int, *, etag: str = '"a"', first: int | None = None) -> Any:
    shown = start if first is None else first
    headers = {"ETag": etag, "Content-Range": f"bytes {shown}-{stop - 1}/{len(CONTENT)}"}
    return httpx.Response(206, headers=headers, stream=httpx.ByteStream(CONTENT[start:stop]))


def test_a_file_that_changes_meanwhile_is_refused(download: Any, tmp_path: Path) -> None:
    files = Files(lambda start, stop: partial(start, stop, etag='"a"' if not start else '"b"'))
    with pytest.raises(DigestMismatch, match='its entity tag is "b", not "a"'):
        download("http://seedpoint", "7", tmp_path, settings(files), ranges=2)
    assert list(tmp_path.iterdir()) == []


def test_a_proxy_without_ranges_gives_the_same_file(download: Any, tmp_path: Path) -> None:
    def whole(start: int, stop: int) -> httpx.Response:
        return httpx.Response(200, headers={"ETag": '"a"'}, stream=httpx.ByteStream(CONTENT))

    (path,) = download("http://seedpoint", "7", tmp_path, settings(Files(whole)), ranges=3)
    assert path.read_bytes() == CONTENT


def test_an_answer_that_ends_early_without_an_error_is_gone_on_with(
    download: Any, tmp_path: Path
) -> None:
    files = Files(lambda start, stop: partial(start, min(stop, start + MIB)))
    (path,) = download("http://seedpoint", "7", tmp_path, settings(files))
    assert path.read_bytes() == CONTENT
    assert files.gets == 4


def test_answers_that_bring_nothing_are_bounded(download: Any, tmp_path: Path) -> None:
    files = Files(lambda start, _: partial(start, start))
    with pytest.raises(httpx.RemoteProtocolError, match=r"ends at byte 0 of .*; 4194304 are"):
        download("http://seedpoint", "7", tmp_path, settings(files, retries=1))
    assert files.gets == 2


def test_an_answer_of_other_bytes_is_refused(download: Any, tmp_path: Path) -> None:
    files = Files(lambda start, stop: partial(start, stop, first=start + 1))
    with pytest.raises(httpx.RemoteProtocolError, match="lacks byte 0"):
        download("http://seedpoint", "7", tmp_path, settings(files, retries=0))


def test_a_busy_answer_amid_a_download_is_asked_again(download: Any, tmp_path: Path) -> None:
    def busy(start: int, stop: int) -> httpx.Response:
        if files.gets % 2:
            return httpx.Response(503, headers={"Retry-After": "0"})
        return partial(start, stop)

    files = Files(busy)
    (path,) = download("http://seedpoint", "7", tmp_path, settings(files))
    assert path.read_bytes() == CONTENT


def test_the_first_problem_ends_all_ranges(download: Any, tmp_path: Path) -> None:
    files = Files(lambda start, stop: partial(start, stop) if start else httpx.Response(404))
    with pytest.raises(Problem, match="404"):
        download("http://seedpoint", "7", tmp_path, settings(files), ranges=4)
    assert not (tmp_path / FILE).exists()


def test_a_file_that_the_checkpoint_lacks_is_named(service: Running, tmp_path: Path) -> None:
    id = service.issue(mlp()).json()["id"]
    with pytest.raises(KeyError, match=r"no file 'model.bin' .*: model.safetensors"):
        by_client(service.url, id, tmp_path, {}, files=["model.bin"])


def test_a_name_that_leaves_the_directory_is_refused(tmp_path: Path) -> None:
    links = {"files": {"../evil": "/v1/checkpoints/7/files/evil"}}

    def handler(request: httpx.Request) -> httpx.Response:
        headers = {"ETag": '"a"', "Content-Length": "0"} if request.method == "HEAD" else {}
        return httpx.Response(200, headers=headers, json={"id": "7", "links": links})

    with pytest.raises(ValueError, match=r"'\.\./evil' is not the name of a file"):
        by_client(
            "http://seedpoint", "7", tmp_path / "in", {"transport": httpx.MockTransport(handler)}
        )


def test_both_clients_have_the_same_methods() -> None:
    def signatures(kind: type) -> dict[str, list[inspect.Parameter]]:
        return {
            name: list(inspect.signature(method).parameters.values())
            for name, method in vars(kind).items()
            if not name.startswith("_")
        }

    assert signatures(AsyncClient) == signatures(Client)
