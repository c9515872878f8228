"""The service behind a real nginx, with the configuration that docs/operating.md has."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from seedpoint_client import Client

from seedpoint.service.checkpoints import hub_revisions
from seedpoint.service.settings import Settings
from tests.support.clients import program, run, sha256
from tests.support.files import FOREVER
from tests.support.places import ROOT
from tests.support.running import Running, mlp
from tests.support.waiting import eventually
from tests.support.zoo import Zoo

PREFIX = "/seedpoint"
FILE = "model.safetensors"
MIB = 1 << 20
MINIMAL = {"Prefer": "return=minimal"}


@dataclass
class Nginx:
    """A proxy before the service; `folder` is its own, with its certificate and its spool."""

    url: str
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def certificate(self) -> str:
        return str(self.folder / "cert.pem")

    def http(self) -> httpx.Client:
        trusted = ssl.create_default_context(cafile=self.certificate)
        return httpx.Client(base_url=self.url, verify=trusted, trust_env=False, timeout=60)

    def spooled(self) -> list[str]:
        """Files in which its workers keep what a client has not read; they have no name."""
        found = subprocess.run(
            ["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=True
        )
        links = [
            str(descriptor.readlink())
            for pid in found.stdout.split()
            for descriptor in Path(f"/proc/{pid}/fd").iterdir()
        ]
        return [link for link in links if str(self.folder / "proxy") in link]


def documented() -> str:
    (block,) = re.findall(
        r"```nginx\n(.*?)```", (ROOT / "docs/operating.md").read_text("utf-8"), re.DOTALL
    )
    return str(block)


@pytest.fixture(scope="module")
def nginx(service: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    command, openssl = program("nginx"), program("openssl")
    folder = tmp_path_factory.mktemp("nginx")
    names = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    files = ("-keyout", "key.pem", "-out", "cert.pem")
    run(openssl, *("req", "-x509", "-newkey", "rsa:2048", "-nodes"), *files, *names, cwd=folder)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    block = documented()
    for theirs, ours in (
        ("127.0.0.1:8000", f"127.0.0.1:{service.port}"),
        ("listen 443", f"listen 127.0.0.1:{port}"),
        ("/etc/ssl/seedpoint.pem", str(folder / "cert.pem")),
        ("/etc/ssl/seedpoint.key", str(folder / "key.pem")),
    ):
        assert theirs in block
        block = block.replace(theirs, ours)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = " ".join(f"{kind}_temp_path {folder / kind};" for kind in kinds)
    (folder / "nginx.conf").write_text(
        ("user root;\n" if os.geteuid() == 0 else "")
        + f"daemon off; pid {folder / 'pid'}; events {{}}\n"
        + f"http {{ access_log off; {places}\n{block}}}\n"
    )
    log = str(folder / "error.log")
    flags = ("-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", log)
    started = Nginx(
        f"https://localhost:{port}{PREFIX}", folder, subprocess.Popen([command, *flags])
    )

    def answers() -> bool:
        assert started.process.poll() is None, Path(log).read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    eventually(answers, "nginx does not listen")
    yield started
    started.process.terminate()
    started.process.wait(30)


@pytest.fixture
def http(nginx: Nginx) -> Iterator[httpx.Client]:
    with nginx.http() as client:
        yield client


def linked(nginx: Nginx, link: str) -> str:
    """The address of a link: the prefix is in it."""
    assert link.startswith(f"{PREFIX}/")
    return nginx.url.removesuffix(PREFIX) + link


def test_files_ranges_and_conditions_pass_unchanged(
    service: Running, nginx: Nginx, http: httpx.Client
) -> None:
    issued = http.post("/v1/checkpoints", json=mlp(7))
    assert linked(nginx, issued.headers["location"]).endswith(issued.json()["id"])
    direct = service.http.get(f"/v1/checkpoints/{issued.json()['id']}/files/{FILE}")
    link = linked(nginx, issued.json()["links"]["files"][FILE])
    whole, etag = direct.content, direct.headers["etag"]
    for headers, status, content in (
        ({}, 200, whole),
        ({"Accept-Encoding": "gzip"}, 200, whole),
        ({"Range": "bytes=5-104"}, 206, whole[5:105]),
        ({"Range": "bytes=-7"}, 206, whole[-7:]),
        ({"Range": "bytes=0-3", "If-Range": etag}, 206, whole[:4]),
        ({"Range": "bytes=0-3", "If-Range": '"x"'}, 200, whole),
        ({"If-None-Match": etag}, 304, b""),
    ):
        answer = http.get(link, headers=headers)
        assert (answer.status_code, answer.content) == (status, content), headers
        assert answer.headers["etag"] == etag
        assert "content-encoding" not in answer.headers
    assert http.get(link, headers={"Range": f"bytes={len(whole)}-"}).status_code == 416
    several = http.get(link, headers={"Range": "bytes=0-3,10-13"})
    assert several.status_code == 206
    assert whole[10:14] in several.content
    head = http.head(link)
    assert head.headers["content-length"] == str(len(whole))
    assert head.headers["etag"] == etag


def test_what_is_shown_says_the_outer_address(nginx: Nginx, http: httpx.Client) -> None:
    page = http.get("/").text
    assert f"curl {nginx.url}/v1/checkpoints" in page
    for link in re.findall(r'href="([^"]+)"', page)[:7]:
        assert http.get(linked(nginx, link)).is_success, link
    for link in re.findall(r'(?:src|href)="([^"]+)"', http.get("/docs").text):
        assert http.get(linked(nginx, link)).is_success, link
    assert http.get("/openapi.json").json()["servers"] == [{"url": PREFIX}]


def test_curl_speaks_http_2(nginx: Nginx, http: httpx.Client, tmp_path: Path) -> None:
    curl = program("curl")
    if "HTTP2" not in run(curl, "--version", cwd=tmp_path):
        pytest.skip("this curl has no HTTP/2")
    link = linked(nginx, http.post("/v1/checkpoints", json=mlp(7)).json()["links"]["files"][FILE])
    told = ("-w", "%{http_version} %{http_code} %{size_download}")
    options = ("--silent", "--http2", "--cacert", nginx.certificate, "-r", "0-99", "-o", "part")
    assert run(curl, *options, *told, link, cwd=tmp_path) == "2 206 100"


def test_bodies_are_taken_up_to_the_services_own_limit(http: httpx.Client) -> None:
    spec = json.dumps(mlp(7)).encode()
    kind = {"Content-Type": "application/json"}
    large = http.post("/v1/checkpoints", content=spec + b" " * 2 * MIB, headers=kind)
    assert large.status_code in (200, 201)
    limit = int(re.findall(r"client_max_body_size (\d+)m;", documented())[0]) * MIB
    assert limit == Settings.model_fields["max_body_bytes"].default


def test_it_waits_longer_than_anything_takes_that_has_a_limit() -> None:
    (seconds,) = re.findall(r"proxy_read_timeout (\d+)s;", documented())
    assert int(seconds) > 2 * Settings.model_fields["build_timeout_seconds"].default


def test_it_keeps_nothing_on_its_disk_for_a_slow_client(
    service: Running, nginx: Nginx, http: httpx.Client
) -> None:
    issued = http.post("/v1/checkpoints", json=FOREVER, headers=MINIMAL).json()
    files = issued["links"]["files"].values()
    link = linked(nginx, next(path for path in files if path.endswith(".safetensors")))
    with http.stream("GET", link) as answer:
        taken = 0
        for piece in answer.iter_raw():
            taken += len(piece)
            if taken > 64 * MIB:
                break
        assert nginx.spooled() == []


def test_the_python_client_works_under_a_prefix(
    nginx: Nginx, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", nginx.certificate)
    monkeypatch.setenv("NO_PROXY", "*")
    with Client(nginx.url) as client:
        checkpoint = client.issue(mlp(7))
        (path,) = client.download(checkpoint, tmp_path, verify=True)
        assert path.stat().st_size > 30_000
        assert client.statistics(checkpoint)["totals"]["failed"] == 0


def test_hf_downloads_through_tls_and_a_prefix(
    service: Running, nginx: Nginx, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(hub_revisions, "presets", Zoo())
    environment = {
        "HF_ENDPOINT": nginx.url,
        "HF_HOME": str(tmp_path / "hub"),
        "SSL_CERT_FILE": nginx.certificate,
        "REQUESTS_CA_BUNDLE": nginx.certificate,
    }
    command = (program("hf"), "download", "zoo/tiny-mlp", "--revision", "seed-42")
    run(*command, "--local-dir", "got", cwd=tmp_path, **environment)
    direct = service.http.get(f"/zoo/tiny-mlp/resolve/seed-42/{FILE}")
    assert sha256((tmp_path / "got" / FILE).read_bytes()) == sha256(direct.content)
