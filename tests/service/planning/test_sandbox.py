"""The guard of a process that runs other libraries' constructors."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.places import ROOT

SECRET = "SECRET-CANARY"

# Each by what the problem says was tried.
REFUSED = {
    "open(canary)": "open",
    "open(canary, 'rb', buffering=0)": "open",
    "import io; io.open_code(canary)": "open",
    "import os; os.open(canary, os.O_RDONLY)": "open",
    "import pathlib; pathlib.Path(canary).read_text()": "open",
    "import numpy; numpy.fromfile(canary)": "open",
    "import numpy; numpy.memmap(canary, mode='r')": "open",
    "import zipfile; zipfile.ZipFile(canary)": "open",
    "open(library + '/../canary.txt')": "open",
    "open('canary.txt')": "open",
    "open(canary.encode())": "open",
    "open('/proc/self/environ')": "open",
    "import os; os.listdir(folder)": "list",
    "import os; os.scandir('/etc')": "list",
    "import os; os.listdir('/')": "list",
    "import glob; glob.glob(folder + '/*')": "list",
    "open(folder + '/new', 'w')": "write",
    "open(canary, 'r+')": "write",
    "open(library + '/lazy.py', 'a')": "write",
    "import os; os.open(folder + '/new', os.O_CREAT)": "write",
    "import pathlib; pathlib.Path(folder, 'new').write_text('x')": "write",
    "import pathlib; pathlib.Path(folder, 'new').touch()": "change",
    "import os; os.mkdir(folder + '/new')": "make",
    "import os; os.makedirs(folder + '/new/newer')": "make",
    "import os; os.remove(canary)": "remove",
    "import os; os.rmdir(folder)": "remove",
    "import os; os.rename(canary, folder + '/new')": "rename",
    "import os, tempfile; os.replace(canary, tempfile.gettempdir() + '/own')": "rename",
    "import os; os.truncate(canary, 0)": "cut",
    "import os; os.chmod(canary, 0o777)": "change",
    "import os; os.utime(canary)": "change",
    "import os, tempfile; os.symlink(canary, tempfile.gettempdir() + '/link')": "link",
    "import os, tempfile; os.link(canary, tempfile.gettempdir() + '/link')": "link",
    "import shutil; shutil.copy(canary, folder + '/new')": "open",
    "import shutil; shutil.rmtree(folder)": "open",
    "import sqlite3; sqlite3.connect(folder + '/new.db')": "open",
    "import os; os.chdir('/')": "go to",
    "import subprocess; subprocess.run(['true'])": "run",
    "import os; os.system('true')": "run",
    "import os; os.execv('/bin/true', ['true'])": "run",
    "import os; os.posix_spawn('/bin/true', ['true'], {})": "run",
    "import os; os.fork()": "fork",
    "import os; os.kill(os.getpid(), 0)": "signal",
    "import socket; socket.create_connection(('127.0.0.1', int(port)))": "look up",
    "import socket; socket.socket().connect(('127.0.0.1', int(port)))": "connect to",
    "import socket; socket.socket(socket.AF_UNIX).connect(folder + '/socket')": "connect to",
    "import socket; socket.socket(type=2).sendto(b'x', ('127.0.0.1', int(port)))": "connect to",
    "import socket; socket.socket().bind(('127.0.0.1', 0))": "listen at",
    "import socket; socket.gethostbyname('localhost')": "look up",
    "import urllib.request as u; u.urlopen('http://127.0.0.1:' + port)": "look up",
    "import httpx; httpx.get('http://127.0.0.1:' + port, trust_env=False)": "look up",
    "import ctypes; ctypes.CDLL(folder + '/evil.so')": "load",
    "import contextlib\nwith contextlib.suppress(OSError): open(canary)": "open",
    "try: open(canary)\nexcept Exception: raise KeyError('other') from None": "open",
    "import threading as t; x = t.Thread(target=lambda: open(canary)); x.start(); x.join()": "open",
    "import warm; warm.read(canary)": "open",
}
ALLOWED = {
    "import json; result = open(json.__file__).read() != ''": "True",
    "import torch; result = open(torch.__file__).read() != ''": "True",
    "import linecache, json; result = len(linecache.getlines(json.__file__)) > 9": "True",
    "import inspect, numpy; result = len(inspect.getsource(numpy)) > 9": "True",
    "import importlib.metadata as m; result = m.version('torch') != ''": "True",
    "import pkgutil; result = len(pkgutil.get_data('json', 'decoder.py')) > 9": "True",
    "import seedpoint.models.errors as t; result = open(t.__file__).read() != ''": "True",
    "import os, json; result = os.path.exists(json.__file__)": "True",
    "import os, json; result = os.path.realpath(json.__file__) == json.__file__": "True",
    "result = open('/dev/null', 'w').write('x')": "1",
    "result = int(open('/proc/self/statm').read().split()[0]) > 0": "True",
    "import os; r, w = os.pipe(); os.write(w, b'x'); result = open(r, 'rb', 0).read(1)": "b'x'",
    "import ctypes; result = ctypes.CDLL(None) is not None": "True",
    "import tempfile as t\nwith t.NamedTemporaryFile() as f: result = f.write(b'x')": "1",
    "import tempfile as t\nwith t.TemporaryDirectory() as d: open(d + '/x', 'w').close()": "None",
    "import os, tempfile; p = tempfile.mkdtemp(); result = os.rename(p, p + 'x')": "None",
    # No spec decides what a module reads while it is imported.
    "import lazy; result = lazy.text": SECRET,
    # Outside, nothing is to be seen, whether it is there or not.
    "import os; result = os.path.exists(canary), os.path.exists(canary + 'x')": "(False, False)",
    "import os; result = os.path.isdir('/etc'), os.path.islink(canary)": "(False, False)",
    "import os; result = os.access(canary, os.R_OK)": "False",
    "import pathlib; result = pathlib.Path(canary).is_file()": "False",
}
# Neither the problem of a spec, nor done: a module that would connect while it is imported.
IMPORTED = "import calling"


@pytest.fixture(scope="module")
def connections() -> Iterator[tuple[int, list[bytes]]]:
    """A port at which somebody listens, and what came there."""
    came: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener.getsockname()[1], came
        try:
            came.append(listener.accept()[0].recv(1))
        except BlockingIOError:
            pass
    assert not came


@pytest.fixture(scope="module")
def outcomes(
    tmp_path_factory: pytest.TempPathFactory, connections: tuple[int, list[bytes]]
) -> dict[str, str]:
    """The outcome of each snippet."""
    folder = tmp_path_factory.mktemp("guarded")
    library = folder / "library"
    library.mkdir()
    canary = folder / "canary.txt"
    canary.write_text(SECRET)
    (library / "lazy.py").write_text(f"text = open({str(canary)!r}).read()\n")
    (library / "warm.py").write_text("def read(path): return open(path).read()\n")
    calls = f"import socket\nsocket.socket().connect(('127.0.0.1', {connections[0]}))\n"
    (library / "calling.py").write_text(calls)
    names = {"canary": str(canary), "folder": str(folder), "library": str(library)}
    request = {
        "names": names | {"port": str(connections[0])},
        "snippets": [*REFUSED, *ALLOWED, IMPORTED],
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.guarded"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert canary.read_text() == SECRET
    assert {path.name for path in folder.iterdir()} >= {"canary.txt", "library"}
    assert not (folder / "new").exists()
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("code", REFUSED)
def test_what_is_not_allowed_is_a_fault_of_the_spec(outcomes: dict[str, str], code: str) -> None:
    outcome = outcomes[code]
    assert outcome.startswith("refused architecture"), outcome
    assert f"building it would {REFUSED[code]}" in outcome
    assert SECRET not in outcome


@pytest.mark.parametrize("code", ALLOWED)
def test_what_libraries_do_is_allowed(outcomes: dict[str, str], code: str) -> None:
    assert outcomes[code] == f"done {ALLOWED[code]}"


def test_a_module_connects_to_nothing_while_it_is_imported(outcomes: dict[str, str]) -> None:
    assert outcomes[IMPORTED].startswith("RefusedError")


def test_code_of_our_own_may_do_anything(outcomes: dict[str, str]) -> None:
    assert outcomes["lifted"] == SECRET
