"""PUT, GET and HEAD of blobs, and checkpoints that are read from them."""

from __future__ import annotations

import base64
import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from safetensors.torch import load, save

from tests.support.blob_files import by_file, embedding, rows, sha256
from tests.support.problems import assert_problem
from tests.support.running import Running
from tests.support.waiting import eventually

SHAPE = (30_000, 101)
MISSING = "0f" * 32


def blob(seed: int = 0, shape: tuple[int, int] = (50, 7)) -> bytes:
    generator = torch.Generator().manual_seed(seed)
    return save({"emb.weight": torch.randn(shape, generator=generator), "b": torch.ones(3)})


def put(service: Running, content: bytes, name: str = "", **headers: str) -> httpx.Response:
    sent = {key.replace("_", "-"): value for key, value in headers.items()}
    return service.http.put(f"/v1/blobs/{name or sha256(content)}", content=content, headers=sent)


def stored(service: Running) -> set[str]:
    """Return every file in the store's folder of blobs, unfinished ones too."""
    return {path.name for path in service.state.settings.store.glob("uploads/*/*")}


def spec_of(content: bytes, shape: tuple[int, int] = (50, 7), **more: Any) -> dict[str, Any]:
    spec: dict[str, Any] = embedding(by_file(sha256(content)), shape, **more)
    return spec


def weight(answer: httpx.Response) -> torch.Tensor:
    assert answer.status_code == 200, answer.text
    return load(answer.content)["weight"]


def file_of(service: Running, content: bytes, **more: Any) -> str:
    """Issue the checkpoint of a blob; return the path of its file."""
    issued = service.issue(spec_of(content, **more))
    assert issued.status_code in (200, 201), issued.text
    link: str = issued.json()["links"]["files"]["model.safetensors"]
    return link


# --- PUT ---------------------------------------------------------------------------------


def test_a_blob_is_new_once_and_then_there(service: Running) -> None:
    content = blob(1)
    path = f"/v1/blobs/{sha256(content)}"
    assert_problem(service.http.get(path), 404, "not-found")
    assert service.http.head(path).status_code == 404
    first, second = put(service, content), put(service, content)
    assert (first.status_code, second.status_code) == (201, 204)
    for answer in (first, second):
        assert answer.headers["Location"] == path
        assert answer.headers["ETag"] == f'"{sha256(content)}"'
        assert answer.content == b""
    assert service.http.get(path).content == content


def test_a_body_without_a_length_is_taken_too(service: Running) -> None:
    content = blob(2)
    path = f"/v1/blobs/{sha256(content)}"
    answer = service.http.put(path, content=iter([content[:1000], content[1000:]]))
    assert "content-length" not in answer.request.headers
    assert answer.status_code == 201
    assert service.http.get(path).content == content


def test_its_size_and_digest_are_told_by_head(service: Running) -> None:
    content = blob(3)
    put(service, content)
    answer = service.http.head(f"/v1/blobs/{sha256(content)}")
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    assert answer.status_code == 200
    assert answer.headers["Content-Length"] == str(len(content))
    assert answer.headers["Repr-Digest"] == f"sha-256=:{digest}:"
    assert answer.headers["ETag"] == f'"{sha256(content)}"'
    assert answer.headers["Content-Disposition"].endswith('.safetensors"')


def test_ranges_of_a_blob_are_its_bytes(service: Running) -> None:
    content = blob(4, (1000, 700))
    put(service, content)
    path, size = f"/v1/blobs/{sha256(content)}", len(content)
    for start, stop in ((0, 1), (5, 1000), ((1 << 20) - 3, (1 << 20) + 3), (size - 7, size)):
        answer = service.http.get(path, headers={"Range": f"bytes={start}-{stop - 1}"})
        assert answer.status_code == 206
        assert answer.content == content[start:stop]
        assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{size}"
    same = service.http.get(path, headers={"If-None-Match": f'"{sha256(content)}"'})
    assert same.status_code == 304


def test_other_bytes_than_the_path_says_are_refused(service: Running) -> None:
    content, other = blob(5), blob(6)
    found = assert_problem(put(service, other, sha256(content)), 400, "digest-mismatch")
    assert sha256(content) in found["detail"] and sha256(other) in found["detail"]
    assert service.http.head(f"/v1/blobs/{sha256(content)}").status_code == 404
    assert not any(sha256(content)[:20] in name for name in stored(service))


@pytest.mark.parametrize("field", ["Content-Digest", "Repr-Digest"])
def test_the_digests_of_fields_are_compared(service: Running, field: str) -> None:
    content = blob(7 if field == "Repr-Digest" else 8)
    right256, right512 = (
        base64.b64encode(hashlib.new(name, content).digest()).decode()
        for name in ("sha256", "sha512")
    )
    wrong256, wrong512 = (base64.b64encode(bytes(size)).decode() for size in (32, 64))
    for value in (f"sha-256=:{wrong256}:", f"sha-512=:{wrong512}:", "sha-256=:AAAA:"):
        assert_problem(put(service, content, **{field: value}), 400, "digest-mismatch")
    value = f"sha-256=:{right256}:, sha-512=:{right512}:, md5=:AAAA:"
    assert put(service, content, **{field: value}).status_code == 201


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{}", "not a safetensors file"),
        (b"PK\x03\x04" + bytes(500), "not a safetensors file"),
        (blob()[:-1], "truncated"),
        (blob() + b"x", "belong to none"),
    ],
    ids=["json", "pickle", "truncated", "padded"],
)
def test_what_is_no_safetensors_file_is_refused(
    service: Running, content: bytes, said: str
) -> None:
    assert said in assert_problem(put(service, content), 422, "invalid-blob")["detail"]
    assert service.http.head(f"/v1/blobs/{sha256(content)}").status_code == 404


@pytest.mark.parametrize("name", ["abc", "AB" * 32, "ab" * 31 + "a-", "zz" * 32])
@pytest.mark.parametrize("method", ["PUT", "GET"])
def test_a_name_is_a_sha256(service: Running, name: str, method: str) -> None:
    answer = service.http.request(method, f"/v1/blobs/{name}", content=blob())
    found = assert_problem(answer, 422, "invalid-parameter")
    assert found["errors"][0]["path"] == "path.sha256"


def test_a_part_and_a_coded_body_are_refused(service: Running) -> None:
    content = blob(9)
    part = put(service, content, Content_Range=f"bytes 0-9/{len(content)}")
    assert_problem(part, 400, "malformed-request")
    assert_problem(put(service, content, Content_Encoding="gzip"), 415, "unsupported-media-type")


def test_conditions_of_a_put_hold_or_are_412(service: Running) -> None:
    content = blob(10)
    tag = f'"{sha256(content)}"'
    assert_problem(put(service, content, If_Match="*"), 412, "precondition-failed")
    assert put(service, content, If_None_Match="*").status_code == 201
    for header, value in (("If-None-Match", "*"), ("If-None-Match", tag), ("If-Match", '"x"')):
        assert_problem(put(service, content, **{header: value}), 412, "precondition-failed")
    assert put(service, content, If_Match=tag).status_code == 204


def test_a_method_that_blobs_do_not_have_is_405(service: Running) -> None:
    answer = service.http.delete(f"/v1/blobs/{MISSING}")
    assert_problem(answer, 405, "method-not-allowed")
    assert answer.headers["Allow"] == "GET, HEAD, PUT"


@pytest.mark.parametrize("declared", [True, False])
def test_a_blob_that_is_too_large_is_413(start: Callable[..., Running], declared: bool) -> None:
    service = start(blob_bytes=10_000)
    content = blob(shape=(100, 100))
    body = content if declared else iter([content])
    answer = service.http.put(f"/v1/blobs/{sha256(content)}", content=body)
    found = assert_problem(answer, 413, "body-too-large")
    assert "10000 bytes in all (blob_bytes)" in found["detail"]
    assert stored(service) <= {".00.lock"} | {name for name in stored(service) if "lock" in name}


def test_a_store_without_room_for_another_is_507(start: Callable[..., Running]) -> None:
    contents = [blob(seed, (100, 100)) for seed in range(2)]
    service = start(blob_bytes=len(contents[0]) + 10_000)
    assert put(service, contents[0]).status_code == 201
    found = assert_problem(put(service, contents[1]), 507, "store-full")
    assert "leave no room" in found["detail"]
    assert put(service, contents[0]).status_code == 204


def test_nothing_is_left_of_a_client_that_leaves_in_mid_body(service: Running) -> None:
    content = blob(11, (3000, 400))
    name = sha256(content)
    head = f"PUT /v1/blobs/{name} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", service.port)) as client:
        client.sendall(head.encode() + content[: len(content) // 2])
        eventually(lambda: any(name[:20] in file for file in stored(service)))
        assert service.http.head(f"/v1/blobs/{name}").status_code == 404
    eventually(lambda: not any(name[:20] in file for file in stored(service)))
    assert service.http.head(f"/v1/blobs/{name}").status_code == 404
    assert put(service, content).status_code == 201


def test_two_clients_who_put_a_blob_at_once_both_succeed(service: Running) -> None:
    content = blob(12, (3000, 400))
    name, half = sha256(content), len(content) // 2
    together = threading.Barrier(2)

    def send(_: int) -> int:
        def body() -> Iterator[bytes]:
            yield content[:half]
            together.wait(60)
            yield content[half:]

        with httpx.Client(base_url=service.url, timeout=60, trust_env=False) as http:
            headers = {"Content-Length": str(len(content))}
            return http.put(f"/v1/blobs/{name}", content=body(), headers=headers).status_code

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(send, range(2))) == [201, 204]
    assert service.http.get(f"/v1/blobs/{name}").content == content
    assert len([file for file in stored(service) if name[:20] in file]) == 1


def test_a_client_that_waits_for_100_does_not_send_what_is_there(service: Running) -> None:
    content = blob(13)
    name = sha256(content)
    put(service, content)
    head = f"PUT /v1/blobs/{name} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as client:
        client.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
        assert client.recv(1000).startswith(b"HTTP/1.1 204")


# --- checkpoints ----------------------------------------------------------------------------


def test_a_spec_before_its_blob_says_what_to_put_and_where_it_is_named(service: Running) -> None:
    content = blob(20)
    spec = spec_of(content)
    for _ in range(2):
        found = assert_problem(service.issue(spec), 422, "invalid-spec")
        (error,) = found["errors"]
        assert error["path"] == "init.rules.0.initializer.file.sha256"
        assert f"PUT /v1/blobs/{sha256(content)} first" in error["message"]
    put(service, content)
    assert service.issue(spec).status_code == 201
    assert service.issue(spec).status_code == 200


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64", "float8_e4m3fn"])
@pytest.mark.parametrize("source", [torch.float32, torch.bfloat16, torch.float64])
def test_the_file_has_the_values_of_the_blob(
    service: Running, dtype: str, source: torch.dtype
) -> None:
    values = rows(501, 33, torch.float64).to(source)
    content = save({"emb.weight": values})
    put(service, content)
    path = file_of(service, content, shape=(501, 33), dtype=dtype)
    whole = service.http.get(path)
    assert weight(whole).double().equal(values.to(getattr(torch, dtype)).double())
    for start, stop in ((0, 100), (601, 608), (1001, 20_002), (len(whole.content) - 3, None)):
        asked = f"bytes={start}-{'' if stop is None else stop - 1}"
        answer = service.http.get(path, headers={"Range": asked})
        assert answer.status_code == 206
        assert answer.content == whole.content[start:stop]


def test_slices_digests_and_the_hub_read_from_the_blob(service: Running) -> None:
    content = blob(21)
    values = load(content)["emb.weight"]
    put(service, content)
    issued = service.issue(spec_of(content)).json()
    rows_ = service.http.get(f"{issued['links']['self']}/tensors/weight?slice=3:9:2,1:")
    assert load(rows_.content)["weight"].equal(values[3:9:2, 1:])
    path = issued["links"]["files"]["model.safetensors"]
    whole = service.http.get(path)
    head = service.http.head(f"{path}?digest=sha-256", headers={"Prefer": "wait=30"})
    digest = base64.b64encode(hashlib.sha256(whole.content).digest()).decode()
    assert head.headers["Repr-Digest"] == f"sha-256=:{digest}:"
    hub = service.http.get(f"/checkpoints/{issued['id']}/resolve/main/model.safetensors")
    assert hub.content == whole.content


def test_statistics_compare_every_value_with_the_blob(service: Running) -> None:
    values = rows(300, 301, torch.float64)
    values[5, 5] = torch.nan
    content = save({"emb.weight": values})
    put(service, content)
    spec = spec_of(content, (300, 301), dtype="bfloat16")
    found = service.http.post("/v1/checkpoints", json=spec, headers={"Prefer": "wait=60"}).json()
    tensor = found["statistics"]["tensors"]["weight"]
    expected = values.to(torch.bfloat16).double()
    assert tensor["pass"] is True
    assert tensor["criteria"] == {"values": 0.0}
    assert tensor["nan_count"] == 1
    assert tensor["finite_max"] == expected.nan_to_num(0).max().item()
    assert found["statistics"]["totals"]["failed"] == 0


@pytest.mark.parametrize("generator", ["torch", "numpy"])
def test_the_other_generators_read_a_blob_when_they_make_their_tensors(
    start: Callable[..., Running], generator: str
) -> None:
    service, content = start(), blob(22)
    put(service, content)
    path = file_of(service, content, init={"generator": generator})
    whole = service.http.get(path)
    assert weight(whole).equal(load(content)["emb.weight"])
    (kept,) = service.state.settings.store.glob("uploads/*/*.bin")
    kept.unlink()  # Their tensors are made, and do not need it any more.
    assert service.http.get(path).content == whole.content
    service.stop()
    (made,) = service.state.settings.store.glob("materialized/*/*.bin")
    made.unlink()
    again = start()
    found = assert_problem(again.http.get(path), 409, "blob-missing")
    assert f"PUT /v1/blobs/{sha256(content)}" in found["detail"]
    put(again, content)
    assert again.http.get(path).content == whole.content


# --- blobs that have gone ----------------------------------------------------------------------


def test_a_checkpoint_whose_blob_has_gone_is_409_until_it_is_put_again(
    start: Callable[..., Running],
) -> None:
    service, content = start(), blob(30, SHAPE)
    put(service, content)
    issued = service.issue(spec_of(content, SHAPE)).json()
    path = issued["links"]["files"]["model.safetensors"]
    whole = service.http.get(path).content
    (kept,) = service.state.settings.store.glob("uploads/*/*.bin")
    raw = kept.read_bytes()
    kept.unlink()

    def refused(running: Running) -> None:
        tensor = f"{issued['links']['self']}/tensors/weight"
        for url in (path, tensor, issued["links"]["self"], issued["links"]["statistics"]):
            found = assert_problem(running.http.get(url), 409, "blob-missing")
            assert f"PUT /v1/blobs/{sha256(content)} first" in found["detail"]
            assert running.http.head(url).status_code == 409
        partial = running.http.get(path, headers={"Range": "bytes=100000-100099"})
        assert_problem(partial, 409, "blob-missing")
        assert_problem(running.issue(spec_of(content, SHAPE)), 422, "invalid-spec")

    refused(service)
    service.stop()
    again = start()
    refused(again)
    assert put(again, content).status_code == 201
    assert again.http.get(path).content == whole
    assert kept.read_bytes() == raw
    assert again.issue(spec_of(content, SHAPE)).json()["id"] == issued["id"]


def test_a_damaged_blob_gives_no_wrong_byte_and_is_put_again(
    start: Callable[..., Running],
) -> None:
    service, content = start(), blob(31, SHAPE)
    put(service, content)
    path = file_of(service, content, shape=SHAPE)
    (kept,) = service.state.settings.store.glob("uploads/*/*.bin")
    raw = bytearray(kept.read_bytes())
    raw[1000] ^= 1
    kept.write_bytes(raw)
    values = service.http.get(path, headers={"Range": "bytes=-4096"})
    assert values.status_code == 206  # another block of the blob
    first = service.http.get(path, headers={"Range": "bytes=2000-2999"})
    found = assert_problem(first, 500, "corrupt-store")
    assert f"PUT /v1/blobs/{sha256(content)} again" in found["detail"]
    assert put(service, content).status_code == 201
    assert weight(service.http.get(path)).equal(load(content)["emb.weight"])


def test_damage_in_the_middle_of_a_body_breaks_the_connection(
    start: Callable[..., Running],
) -> None:
    service, content = start(), blob(32, SHAPE)
    put(service, content)
    path = file_of(service, content, shape=SHAPE)
    (kept,) = service.state.settings.store.glob("uploads/*/*.bin")
    raw = bytearray(kept.read_bytes())
    raw[8 << 20] ^= 1
    kept.write_bytes(raw)
    received: list[bytes] = []
    with service.http.stream("GET", path) as answer, pytest.raises(httpx.RemoteProtocolError):
        received.extend(answer.iter_raw())
    kept.unlink()
    put(service, content)
    assert service.http.get(path).content.startswith(b"".join(received))


def test_a_blob_and_its_checkpoints_outlive_a_restart(
    start: Callable[..., Running], tmp_path: Path
) -> None:
    before, content = start(), blob(33)
    put(before, content)
    path = file_of(before, content)
    whole = before.http.get(path).content
    before.stop()
    after = start()
    assert after.http.head(f"/v1/blobs/{sha256(content)}").status_code == 200
    assert after.http.get(path).content == whole
    assert after.issue(spec_of(content)).status_code == 200


def test_a_slow_client_does_not_keep_others_from_putting(service: Running) -> None:
    content, slow = blob(50), blob(51, (3000, 400))
    head = (
        f"PUT /v1/blobs/{sha256(slow)} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(slow)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", service.port)) as client:
        client.sendall(head.encode() + slow[:2_000_000])
        time.sleep(0.1)
        assert put(service, content).status_code == 201
        client.sendall(slow[2_000_000:])
        assert client.recv(1000).startswith(b"HTTP/1.1 201")
