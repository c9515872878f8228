"""Clients as their users run them, unmodified; each is left out only where it is not installed.

With EVERY_CLIENT in the environment, one that is not installed is a failure.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.clients import FILE, LARGE, Cutter, left_out, needed, program, run, sha256
from tests.support.running import Running
from tests.support.zoo import Zoo

pytestmark = pytest.mark.usefixtures("zoo")

# What `make test` installs where no other test looks: REDbot.
REDBOT = Path(sys.prefix) / "redbot"


# --- curl, wget, aria2 -------------------------------------------------------------


def test_curl_takes_a_range(service: Running, large: bytes, tmp_path: Path) -> None:
    curl = program("curl")
    options = ("--silent", "--fail", "--compressed", "-o", "part")
    run(curl, *options, "-r", "1000-49999", service.url + LARGE, cwd=tmp_path)
    assert (tmp_path / "part").read_bytes() == large[1000:50_000]
    run(curl, *options, "-r", "-77", service.url + LARGE, cwd=tmp_path)
    assert (tmp_path / "part").read_bytes() == large[-77:]
    run(curl, *options, "-r", "5-9,70-79", service.url + LARGE, cwd=tmp_path)
    parts = (tmp_path / "part").read_bytes()
    assert large[5:10] in parts
    assert large[70:80] in parts


def test_curl_goes_on_where_it_was_cut(
    cutter: Callable[..., Cutter], large: bytes, tmp_path: Path
) -> None:
    cut = cutter(after_bytes=20_000_000, times=2)
    curl = program("curl")
    command = (curl, "--silent", "--fail", "-C", "-", "-o", FILE, cut.url + LARGE)
    for _ in range(2):
        done = subprocess.run(command, cwd=tmp_path, check=False, timeout=100)
        assert done.returncode == 18  # A partial file: it is known that bytes are missing.
    run(*command, cwd=tmp_path)
    assert cut.cuts == 2
    assert cut.passed_bytes < 1.3 * len(large)
    assert sha256((tmp_path / FILE).read_bytes()) == sha256(large)


def test_wget_goes_on_where_it_was_cut(
    cutter: Callable[..., Cutter], large: bytes, tmp_path: Path
) -> None:
    cut = cutter(after_bytes=20_000_000, times=2)
    wget = program("wget")
    run(wget, "-q", "-c", "--waitretry=0", "--no-proxy", cut.url + LARGE, cwd=tmp_path)
    assert cut.cuts == 2
    assert cut.passed_bytes < 1.3 * len(large)
    assert sha256((tmp_path / FILE).read_bytes()) == sha256(large)


def test_aria2_takes_a_file_in_four_parts_at_once(
    service: Running, large: bytes, tmp_path: Path
) -> None:
    split = ("-x4", "-s4", "-k1M", "--quiet", "--file-allocation=none")
    run(program("aria2c"), *split, service.url + LARGE, cwd=tmp_path)
    assert sha256((tmp_path / FILE).read_bytes()) == sha256(large)


def test_aria2_goes_on_where_it_was_cut(
    cutter: Callable[..., Cutter], large: bytes, tmp_path: Path
) -> None:
    cut = cutter(after_bytes=3_000_000, times=3)
    split = ("-x4", "-s4", "-k1M", "--quiet", "--retry-wait=1", "--file-allocation=none")
    run(program("aria2c"), *split, cut.url + LARGE, cwd=tmp_path)
    assert cut.cuts == 3
    assert sha256((tmp_path / FILE).read_bytes()) == sha256(large)


# --- fsspec, obstore ---------------------------------------------------------------


def test_fsspec_lists_a_revision_and_reads_anywhere_in_a_file(service: Running) -> None:
    needed("aiohttp")
    fsspec = needed("fsspec")
    root = f"{service.url}/zoo/sharded/resolve/seed-4"
    http = fsspec.filesystem("http", skip_instance_cache=True)
    names = {name.rpartition("/")[2] for name in http.ls(f"{root}/", detail=False)}
    shards = {f"model-0000{number}-of-00002.safetensors" for number in (1, 2)}
    assert names == {"model.safetensors.index.json", *shards}
    assert http.isdir(f"{root}/")
    link = f"{root}/{min(shards)}"
    whole = service.http.get(link).content
    assert http.info(link)["size"] == len(whole)
    with http.open(link, block_size=1000) as file:
        file.seek(-500, 2)
        assert file.read() == whole[-500:]
        file.seek(7)
        assert file.read(2000) == whole[7:2007]
    assert http.cat_ranges([link] * 2, [0, 100], [10, 300]) == [whole[:10], whole[100:300]]


def test_obstore_reads_ranges(service: Running, large: bytes) -> None:
    obstore = needed("obstore")
    store = needed("obstore.store").HTTPStore.from_url(
        service.url, client_options={"allow_http": True}
    )
    path = LARGE.removeprefix("/")
    meta = obstore.head(store, path)
    assert meta["size"] == len(large)
    assert meta["e_tag"] == service.http.head(LARGE).headers["etag"]
    assert (
        bytes(obstore.get_range(store, path, start=5_000_000, end=5_000_100))
        == (large[5_000_000:5_000_100])
    )
    starts = [0, 30_000_000, 49_000_000]
    pieces = obstore.get_ranges(store, path, starts=starts, lengths=[10] * 3)
    assert [bytes(piece) for piece in pieces] == [large[start : start + 10] for start in starts]
    assert sha256(bytes(obstore.get(store, path).bytes())) == sha256(large)


# --- huggingface_hub, transformers ----------------------------------------------------


def test_redbot_finds_nothing_to_mend(service: Running, tmp_path: Path) -> None:
    redbot = REDBOT / "bin" / "redbot"
    if not redbot.exists():
        left_out("redbot is not installed")
    path_of_its_own = {"PYTHONPATH": str(REDBOT)}
    issued = service.issue(Zoo().spec("tiny-mlp", seed=1)).json()["links"]["files"][FILE]
    index = "/zoo/sharded/resolve/main/model.safetensors.index.json"
    for path in (f"/zoo/tiny-mlp/resolve/main/{FILE}", issued, index):
        command = (str(redbot), "-o", "har", service.url + path)
        found = json.loads(run(*command, cwd=tmp_path, **path_of_its_own))
        (entry,) = found["log"]["entries"]
        notes = {note["note_id"]: note["level"] for note in entry["_red_messages"]}
        assert set(notes.values()) <= {"GOOD", "INFO"}, notes
        assert notes.keys() >= {"CL_CORRECT", "INM_304", "RANGE_CORRECT"}
