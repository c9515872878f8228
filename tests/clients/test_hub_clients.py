"""huggingface_hub and transformers as their users run them, unmodified."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from seedpoint.models import presets
from seedpoint.service.checkpoints import hub_revisions
from tests.support.clients import FILE, Cutter, left_out, needed, run, sha256
from tests.support.places import ROOT
from tests.support.running import Running
from tests.support.zoo import Zoo

pytestmark = pytest.mark.usefixtures("zoo")

# What `make test` installs where no other test looks: previous major versions.
PREVIOUS = Path(sys.prefix) / "previous"


@pytest.fixture(params=["current", "previous"])
def python(request: pytest.FixtureRequest, service: Running, tmp_path: Path) -> Callable[..., Any]:
    """Runs a script where only HF_ENDPOINT is set; gives the JSON that it prints last."""
    if request.param == "previous" and not PREVIOUS.is_dir():
        left_out("the previous major versions are not installed")
    needed("huggingface_hub")

    def python(script: str, *arguments: str, url: str = service.url) -> Any:
        path = {"PYTHONPATH": str(PREVIOUS)} if request.param == "previous" else {}
        home = {"HF_ENDPOINT": url, "HF_HOME": str(tmp_path / "hf"), "HOME": str(tmp_path)}
        plain = {"PYTHONSAFEPATH": "1", "CUDA_VISIBLE_DEVICES": ""}
        said = run(sys.executable, "-c", script, *arguments, cwd=tmp_path, **path, **home, **plain)
        return json.loads(said.splitlines()[-1])

    return python


DOWNLOAD = """
import json, sys
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError)
paths = [hf_hub_download("zoo/tiny-mlp", "model.safetensors", revision=revision)
         for revision in ("seed-1", "seed-2", "seed-1")]
def failure(*arguments, **named):
    try:
        hf_hub_download(*arguments, **named)
    except (EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError) as error:
        return type(error).__name__
failures = [
    failure("zoo/tiny-mlp", "config.json"),
    failure("zoo/tiny-mlp", "model.safetensors", revision="v1"),
    failure("zoo/none", "model.safetensors"),
]
print(json.dumps({"paths": paths, "failures": failures}))
"""


def test_hub_downloads_a_file_of_each_seed(service: Running, python: Callable[..., Any]) -> None:
    found = python(DOWNLOAD)
    contents = [Path(path).read_bytes() for path in found["paths"]]
    for content, seed in zip(contents, (1, 2, 1), strict=True):
        assert content == service.http.get(f"/zoo/tiny-mlp/resolve/seed-{seed}/{FILE}").content
    assert contents[0] != contents[1]
    assert found["failures"][0] in ("EntryNotFoundError", "RemoteEntryNotFoundError")
    assert found["failures"][1:] == ["RevisionNotFoundError", "RepositoryNotFoundError"]


AGAIN = """
import json
from huggingface_hub import hf_hub_download
for _ in range(3):  # Some versions leave it to their users to ask again.
    try:
        path = hf_hub_download("zoo/large", "model.safetensors", revision="seed-1")
        break
    except Exception as error:
        print(error)
print(json.dumps(path))
"""


def test_hub_goes_on_where_it_was_cut(
    cutter: Callable[..., Cutter], large: bytes, python: Callable[..., Any]
) -> None:
    cut = cutter(after_bytes=20_000_000, times=2)
    path = python(AGAIN, url=cut.url)
    assert cut.cuts == 2
    assert cut.passed_bytes < 1.5 * len(large)  # It writes what it has every 10 MB.
    assert sha256(Path(path).read_bytes()) == sha256(large)


SNAPSHOT = """
import json
from huggingface_hub import HfApi, HfFileSystem, snapshot_download
api, fs = HfApi(), HfFileSystem()
folder = snapshot_download("zoo/sharded", revision="seed-9")
info = api.model_info("zoo/sharded", revision="seed-9", files_metadata=True)
index = "model.safetensors.index.json"
with fs.open("zoo/sharded@seed-9/" + index, "rb", block_size=64) as file:
    file.seek(50)
    piece = file.read(100).decode()
print(json.dumps({
    "folder": folder,
    "sha": info.sha,
    "sizes": {sibling.rfilename: sibling.size for sibling in info.siblings},
    "tree": sorted(entry.path for entry in api.list_repo_tree("zoo/sharded", recursive=True)),
    "paths": [entry.path for entry in api.get_paths_info("zoo/sharded", [index, "nothing"])],
    "refs": [ref.name for ref in api.list_repo_refs("zoo/sharded").branches],
    "exist": [api.repo_exists("zoo/sharded"), api.repo_exists("zoo/none"),
              api.file_exists("zoo/sharded", index), api.file_exists("zoo/sharded", "x"),
              api.revision_exists("zoo/sharded", "seed-3"),
              api.revision_exists("zoo/sharded", "v1")],
    "listed": sorted(fs.ls("zoo/sharded", detail=False)),
    "piece": piece,
    "parameters": api.get_safetensors_metadata("zoo/sharded").parameter_count,
}))
"""


def test_hub_downloads_a_snapshot_of_shards_and_asks_about_it(
    service: Running, python: Callable[..., Any]
) -> None:
    found = python(SNAPSHOT)
    folder = Path(found["folder"])
    assert folder.name == found["sha"]
    names = sorted(path.name for path in folder.iterdir())
    assert names == found["tree"] == sorted(found["sizes"])
    for name in names:
        content = service.http.get(f"/zoo/sharded/resolve/seed-9/{name}").content
        assert (folder / name).read_bytes() == content
        assert found["sizes"][name] == len(content)
    index = json.loads((folder / "model.safetensors.index.json").read_bytes())
    for name, shard in index["weight_map"].items():
        assert name in safetensors.torch.load_file(folder / shard)
    assert found["paths"] == ["model.safetensors.index.json"]
    assert found["refs"] == ["main"]
    assert found["exist"] == [True, False, True, False, True, False]
    assert found["listed"] == [f"zoo/sharded/{name}" for name in names]
    text = (folder / "model.safetensors.index.json").read_text()
    assert found["piece"] == text[50:150]
    assert found["parameters"] == {"F32": 7946}


PICKED = """
import json
from pathlib import Path
from huggingface_hub import HfApi, HfFileSystem, hf_hub_download, snapshot_download
from huggingface_hub.errors import RevisionNotFoundError
from safetensors import safe_open
repo, seed = "zoo/sharded", "zoo/sharded@seed-9"
api, fs = HfApi(), HfFileSystem()
shard = "model-00001-of-00002.safetensors"
def failure(call, *arguments, **named):
    try:
        call(*arguments, **named)
    except (RevisionNotFoundError, FileNotFoundError) as error:
        return type(error).__name__
def picked(**patterns):
    folder = snapshot_download(repo, revision="seed-9", **patterns)
    return sorted(path.name for path in Path(folder).iterdir())
path = hf_hub_download("zoo/tiny-mlp", "model.safetensors", revision="seed-9")
with safe_open(path, "pt") as file:
    part = file.get_slice("hidden.weight")[3:5].tolist()
with fs.open(f"{seed}/{shard}", "rb", block_size=1000) as file:
    file.seek(-700, 2)
    end = file.read().hex()
print(json.dumps({
    "json": picked(allow_patterns="*.json"),
    "two": picked(allow_patterns=["*.json", "*00002*"], ignore_patterns="*00001*"),
    "part": part,
    "end": end,
    "middle": fs.cat_file(f"{seed}/{shard}", start=100, end=3000).hex(),
    "walked": [[folder, list(folders), sorted(names)] for folder, folders, names in fs.walk(seed)],
    "globbed": sorted(fs.glob(f"{seed}/*.safetensors")),
    "there": [fs.exists(f"{seed}/{shard}"), fs.exists(f"{seed}/x"), fs.isdir(repo), fs.isdir(seed)],
    "size": fs.info(f"{seed}/{shard}")["size"],
    "exists": [api.revision_exists(repo, name) for name in ("seed-9", "refs/pr/1", "a/b c")],
    "failures": [failure(hf_hub_download, repo, "config.json", revision="refs/pr/1"),
                 failure(api.model_info, repo, revision="refs/pr/1"),
                 failure(snapshot_download, repo, revision="feature/x"),
                 failure(fs.open, f"{repo}@v9/{shard}", "rb")],
}))
"""


def test_hub_picks_files_and_ranges_and_tells_revisions_that_are_not_there(
    service: Running, python: Callable[..., Any]
) -> None:
    found = python(PICKED)
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    index = "model.safetensors.index.json"
    content = service.http.get(f"/zoo/sharded/resolve/seed-9/{shards[0]}").content
    whole = safetensors.torch.load(service.http.get(f"/zoo/tiny-mlp/resolve/seed-9/{FILE}").content)
    assert found["json"] == [index]
    assert found["two"] == [shards[1], index]
    assert found["part"] == whole["hidden.weight"][3:5].tolist()
    assert bytes.fromhex(found["end"]) == content[-700:]
    assert bytes.fromhex(found["middle"]) == content[100:3000]
    assert found["size"] == len(content)
    at = "zoo/sharded@seed-9"
    assert found["walked"] == [[at, [], [*shards, index]]]
    assert found["globbed"] == [f"{at}/{name}" for name in shards]
    assert found["there"] == [True, False, True, True]
    assert found["exists"] == [True, False, False]
    assert found["failures"] == [*["RevisionNotFoundError"] * 3, "FileNotFoundError"]


def test_hub_verifies_what_it_has_downloaded(service: Running, tmp_path: Path) -> None:
    hf = Path(sys.executable).with_name("hf")
    if not hf.exists():
        left_out("the command `hf` is not installed")
    home = {"HF_ENDPOINT": service.url, "HF_HOME": str(tmp_path / "hf"), "HOME": str(tmp_path)}
    at = ("zoo/sharded", "--revision", "seed-12")
    run(str(hf), "download", *at, cwd=tmp_path, **home)
    run(str(hf), "cache", "verify", *at, cwd=tmp_path, **home)


def test_hub_downloads_an_issued_checkpoint(service: Running, python: Callable[..., Any]) -> None:
    resource = service.issue(Zoo().spec("tiny-mlp", seed=42)).json()
    path = python(
        "import json, sys\nfrom huggingface_hub import hf_hub_download\n"
        f"print(json.dumps(hf_hub_download('checkpoints/' + sys.argv[1], '{FILE}')))",
        resource["id"][:12],
    )
    content = Path(path).read_bytes()
    assert content == service.http.get(resource["links"]["files"][FILE]).content
    assert len(safetensors.torch.load(content)) == 4


PRETRAINED = """
import json, sys
import torch
from transformers import AutoConfig, AutoModelForCausalLM
repo, sharded = "zoo/llama-tiny", sys.argv[1]
models = [AutoModelForCausalLM.from_pretrained(name, dtype="auto", **named) for name, named in (
    (repo, {"revision": "seed-42"}), (repo + ".seed-42", {}), (sharded, {}), (repo, {}))]
states = [model.state_dict() for model in models]
equal = [all(torch.equal(state[name], tensor) for name, tensor in states[0].items())
         for state in states]
config = AutoConfig.from_pretrained(repo, revision="seed-42")
state = {name: tensor.contiguous() for name, tensor in states[0].items()}
from safetensors.torch import save_file
save_file(state, "loaded.safetensors")
print(json.dumps({"equal": equal, "class": type(models[0]).__name__, "type": config.model_type}))
"""


@pytest.fixture
def published(zoo: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The presets that there are, in place of the zoo."""
    monkeypatch.setattr(hub_revisions, "presets", presets)


@pytest.mark.usefixtures("published")
def test_transformers_loads_a_preset_and_its_shards(
    service: Running, python: Callable[..., Any], tmp_path: Path
) -> None:
    needed("transformers")
    spec = presets.spec("llama-tiny", seed=42) | {"max_shard_size": 100_000}
    resource = service.issue(spec).json()
    assert "model.safetensors.index.json" in resource["links"]["files"]
    found = python(PRETRAINED, f"checkpoints/{resource['id'][:16]}")
    assert found == {
        "equal": [True, True, True, False],
        "class": "LlamaForCausalLM",
        "type": "llama",
    }
    served = service.http.get(f"/zoo/llama-tiny/resolve/seed-42/{FILE}").content
    loaded = safetensors.torch.load_file(tmp_path / "loaded.safetensors")
    expected = safetensors.torch.load(served)
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in expected.items())


@pytest.mark.usefixtures("published")
def test_the_documented_job_passes(service: Running, tmp_path: Path) -> None:
    yaml = needed("yaml")
    needed("transformers")
    page = (ROOT / "docs" / "hub.md").read_text("utf-8")
    (job,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (test,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    described = yaml.safe_load(job)["jobs"]["tests"]
    assert list(described["env"]) == ["HF_ENDPOINT"]
    command = described["steps"][-1]["run"].split()
    assert command == ["pytest", "test_model.py"]
    (tmp_path / "test_model.py").write_text(test)
    home = {"HF_ENDPOINT": service.url, "HF_HOME": str(tmp_path / "hf"), "HOME": str(tmp_path)}
    run(sys.executable, "-m", *command, "-p", "no:cacheprovider", cwd=tmp_path, **home)
