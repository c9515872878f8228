"""The command line."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from typer.testing import CliRunner, Result

from seedpoint.models import presets
from seedpoint.models.files.layout import layout
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import parse_spec
from seedpoint.service.cli import app
from seedpoint.service.cli.tables import plan_table
from seedpoint.service.settings import Settings
from seedpoint.service.version import seedpoint_version
from tests.support.places import EXAMPLES, GOLDEN

SHA256 = json.loads((GOLDEN / "examples_sha256.json").read_text())


def seedpoint(*arguments: str | Path, stdin: str = "") -> Result:
    environment = {"COLUMNS": "200", "TERMINAL_WIDTH": "200"}
    return CliRunner(env=environment).invoke(app, list(map(str, arguments)), input=stdin)


def test_build_writes_the_file_that_the_service_issues(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "mlp.safetensors"
    done = seedpoint("build", EXAMPLES / "mlp.json", "-o", path)
    assert done.exit_code == 0, done.stderr
    assert hashlib.sha256(path.read_bytes()).hexdigest() == SHA256["mlp"]
    assert "hidden.weight" in done.stdout and "pass" in done.stdout
    assert [entry.name for entry in path.parent.iterdir()] == ["mlp.safetensors"]


def test_a_slash_at_the_end_of_the_output_makes_a_directory(tmp_path: Path) -> None:
    done = seedpoint("build", EXAMPLES / "mlp.json", "-o", f"{tmp_path}/new/")
    assert done.exit_code == 0, done.stderr
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model.safetensors"]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("generator", ["torch", "numpy"])
def test_the_installed_command_builds_what_a_script_gives(generator: str, tmp_path: Path) -> None:
    """The stack of the command itself, which torch reads the sources of, is no file of a spec."""
    layers = [{"type": "Linear", "in_features": 4, "out_features": 3}]
    rules = [{"match": {"parameter": "weight"}, "initializer": {"type": "normal"}}]
    spec = {"architecture": {"type": "Sequential", "layers": layers}}
    spec["init"] = {"generator": generator, "rules": rules}
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    command = [str(Path(sys.executable).parent / "seedpoint"), "build", "spec.json", "-o", "x"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.timeout(600)
def test_a_preset_is_built_into_a_directory_of_its_name_any_number_of_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        done = seedpoint("build", "gpt2-tiny", "-o", "gpt2-tiny/", "--no-statistics")
        assert done.exit_code == 0, done.stderr
        assert done.stderr == ""
    assert seedpoint("verify", "gpt2-tiny/").exit_code == 0


@pytest.mark.timeout(600)
def test_a_name_is_the_preset_s_and_a_path_is_the_file_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def planned(spec: str) -> tuple[str, str]:
        done = seedpoint("plan", spec, "--json")
        assert done.exit_code == 0, done.stderr
        return json.loads(done.stdout)["id"], done.stderr

    preset, _ = planned("gpt2-tiny")
    mlp = (EXAMPLES / "mlp.json").read_text()
    for name in ("gpt2-tiny", "gpt2-tiny.json", "mine"):
        (tmp_path / name).write_text(mlp)
    note = "gpt2-tiny is both a preset and a file; the preset is used (./gpt2-tiny is the file)\n"
    assert planned("gpt2-tiny") == (preset, note)
    expected, _ = planned(str(EXAMPLES / "mlp.json"))
    for path in ("./gpt2-tiny", "gpt2-tiny.json", "mine"):
        assert planned(path) == (expected, "")
    assert expected != preset
    assert seedpoint("plan", "gpt2.json").exit_code == 5


def test_build_takes_a_seed_and_any_number_of_threads(tmp_path: Path) -> None:
    found = []
    for threads in ("1", "3"):
        path = tmp_path / f"{threads}.safetensors"
        done = seedpoint(
            *("build", EXAMPLES / "cnn_normal.json", "-o", path, "--seed", "7"),
            *("--threads", threads, "--no-statistics"),
        )
        assert done.exit_code == 0, done.stderr
        found.append(path.read_bytes())
    assert found[0] == found[1]
    assert hashlib.sha256(found[0]).hexdigest() != SHA256["cnn_normal"]


def test_build_into_a_directory_keeps_the_files_names(tmp_path: Path) -> None:
    document = json.loads((EXAMPLES / "mlp.json").read_text()) | {"max_shard_size": "15kB"}
    done = seedpoint("build", "-", "-o", tmp_path, "--json", stdin=json.dumps(document))
    assert done.exit_code == 0, done.stderr
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    tensors = {name: load_file(tmp_path / file)[name] for name, file in index["weight_map"].items()}
    assert set(tensors) == {"hidden.weight", "hidden.bias", "output.weight", "output.bias"}
    resource = json.loads(done.stdout)
    statistics = resource["statistics"]["tensors"]
    for name, value in tensors.items():
        assert statistics[name]["mean"] == pytest.approx(value.double().mean().item(), abs=1e-12)


def test_build_under_generator_torch(tmp_path: Path) -> None:
    document = json.loads((EXAMPLES / "mlp.json").read_text())
    document["init"]["generator"] = "torch"
    path = tmp_path / "mlp.safetensors"
    assert seedpoint("build", "-", "-o", path, stdin=json.dumps(document)).exit_code == 0
    assert load_file(path)["hidden.weight"].shape == (256, 20)


def test_plan_shows_rules_arguments_and_fans_and_generates_nothing(tmp_path: Path) -> None:
    done = seedpoint("plan", EXAMPLES / "gpt2.json")
    assert done.exit_code == 0, done.stderr
    row = next(line for line in done.stdout.splitlines() if "h.3.mlp.c_proj.weight" in line)
    for shown in ("768x3072", "normal(mean=0, std=0.00408248)", "3072", "768", "0.004082"):
        assert shown in row
    assert not list(tmp_path.iterdir())


def test_plan_as_json_is_the_resource() -> None:
    resource = json.loads(seedpoint("plan", EXAMPLES / "mlp.json", "--json").stdout)
    assert resource["totals"]["parameters"] == 7946
    assert resource["tensors"][0]["program"] == {"type": "normal", "mean": 0.0, "std": 0.01}


def test_plan_shows_the_names_that_expressions_may_use() -> None:
    shown = seedpoint("plan", EXAMPLES / "mlp.json").stdout.splitlines()
    assert "names in expressions: fan_in, fan_out, ndim, numel" in shown
    assert "  Linear: in_features=20|256, out_features=256|10" in shown
    shown = seedpoint("plan", "gpt2-tiny").stdout.splitlines()
    (config,) = (line for line in shown if line.startswith("  config: "))
    assert "hidden_size=64, " in config and "num_hidden_layers=2, " in config
    constants = json.loads((EXAMPLES / "mup.json").read_text())["init"]["constants"]
    (line,) = (
        line
        for line in seedpoint("plan", EXAMPLES / "mup.json").stdout.splitlines()
        if line.startswith("  init.constants: ")
    )
    assert all(f"{name}=" in line for name in constants)


@pytest.mark.parametrize("command", [("plan", "-"), ("build", "-", "-o", "probe.safetensors")])
def test_the_name_and_labels_of_a_spec_are_shown(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = json.loads((EXAMPLES / "mlp.json").read_text()) | {
        "name": "a \x1b[31mprobe",
        "description": "Of two layers.",
        "labels": {"team": "vision", "n": 3},
    }
    shown = seedpoint(*command, stdin=json.dumps(spec)).stdout.splitlines()
    for line in ("name: a \\x1b[31mprobe", "description: Of two layers."):
        assert line in shown
    assert 'label team: "vision"' in shown and "label n: 3" in shown
    document = json.loads(seedpoint(*command, "--json", stdin=json.dumps(spec)).stdout)
    assert document["labels"] == spec["labels"]


def test_plan_as_json_has_the_names_of_each_tensor() -> None:
    document = json.loads(seedpoint("plan", "gpt2-tiny", "--json").stdout)
    assert document["names"]["everywhere"] == ["fan_in", "fan_out", "ndim", "numel"]
    assert document["names"]["configs"][""]["num_hidden_layers"] == 2
    names = {tensor["name"]: tensor["names"] for tensor in document["tensors"]}
    assert names["transformer.h.1.mlp.c_fc.weight"] == {"nf": 256, "nx": 64}
    spec = {
        "architecture": {
            "type": "Module",
            "children": {
                "body": {"type": "preset", "name": "gpt2-tiny"},
                "head": {"type": "Linear", "in_features": 3, "out_features": 2},
            },
        },
        "init": {"constants": {"half": 0.5}},
    }
    document = json.loads(seedpoint("plan", "-", "--json", stdin=json.dumps(spec)).stdout)
    assert list(document["names"]["configs"]) == ["body"]
    assert document["names"]["constants"] == {"half": 0.5}
    names = {tensor["name"]: tensor["names"] for tensor in document["tensors"]}
    assert names["head.bias"] == {"in_features": 3, "out_features": 2}


def test_a_fault_is_exit_code_3_with_its_path(tmp_path: Path) -> None:
    spec = {"architecture": {"type": "Linear", "in_features": -1}}
    done = seedpoint("build", "-", "-o", tmp_path / "x", stdin=json.dumps(spec))
    assert done.exit_code == 3
    assert "architecture.in_features: " in done.stderr
    assert "architecture.out_features: missing" in done.stderr
    assert "Traceback" not in done.stderr and not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "", "5", "[NaN]", '"\\ud800"'])
def test_what_is_no_spec_is_exit_code_3(text: str) -> None:
    done = seedpoint("plan", "-", stdin=text)
    assert done.exit_code == 3
    assert "Traceback" not in done.stderr


def test_a_member_given_twice_is_refused_as_the_service_does() -> None:
    text = (EXAMPLES / "mlp.json").read_text().replace('"seed": 42', '"seed": 42, "seed": 43')
    done = seedpoint("plan", "-", stdin=text)
    assert done.exit_code == 3
    assert done.stderr == "init.seed: an object has the member 'seed' twice\n"


def test_what_is_no_number_is_refused_as_the_service_does() -> None:
    text = (EXAMPLES / "mlp.json").read_text().replace('"std": 0.01', '"std": NaN')
    done = seedpoint("plan", "-", stdin=text)
    assert done.exit_code == 3
    assert done.stderr == (
        "init.rules.0.initializer.std: NaN is not a JSON number; expected a finite number\n"
    )


def test_a_path_is_shown_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "[bold]x[/bold]" / "[0].safetensors"
    done = seedpoint("build", EXAMPLES / "mlp.json", "-o", path)
    assert done.exit_code == 0, done.stderr
    assert f"{path} (" in done.stdout


def test_what_a_terminal_would_obey_in_a_spec_is_escaped() -> None:
    children = {"a\x1b[31m": {"type": "Linear", "in_features": -1, "out_features": 1}}
    spec = {"architecture": {"type": "Module", "children": children}}
    done = seedpoint("plan", "-", stdin=json.dumps(spec))
    assert done.exit_code == 3 and done.stderr
    assert all(line.isprintable() for line in done.stderr.splitlines())


def test_the_version_is_one_line() -> None:
    done = seedpoint("--version")
    assert (done.exit_code, done.stdout) == (0, f"seedpoint {seedpoint_version()}\n")


def test_a_service_whose_port_is_taken_ends_with_exit_code_7(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = seedpoint("serve", "--port", port, "--store", tmp_path)
    assert (done.exit_code, done.stdout) == (7, "")
    assert done.stderr == (
        f"the service cannot start with --host 127.0.0.1 --port {port}: Address already in use\n"
    )


def test_a_service_whose_store_is_no_directory_ends_with_exit_code_7(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = seedpoint("serve", "--port", "0", "--store", tmp_path / "file")
    assert (done.exit_code, done.stdout) == (7, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"the service cannot start with --store {tmp_path / 'file'}: ")


def test_a_service_that_fails_to_start_does_not_end_as_a_spec_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Settings) -> None:
        sys.exit(3)  # As uvicorn does.

    monkeypatch.setattr("seedpoint.service.server.serve.serve", fail)
    assert seedpoint("serve", "--port", "0", "--store", tmp_path).exit_code == 7


def test_a_file_that_is_not_there_is_exit_code_5(tmp_path: Path) -> None:
    assert seedpoint("plan", tmp_path / "nothing.json").exit_code == 5
    done = seedpoint("build", EXAMPLES / "mlp.json", "-o", "/proc/nothing/x")
    assert done.exit_code == 5
    assert "Traceback" not in done.stderr


def test_a_file_that_cannot_be_made_is_told_by_the_name_that_was_given() -> None:
    done = seedpoint("build", EXAMPLES / "mlp.json", "-o", "/proc/x.safetensors")
    assert done.exit_code == 5
    assert done.stderr == "/proc/x.safetensors: No such file or directory\n"


def test_several_files_are_not_written_into_a_directory_named_like_one(tmp_path: Path) -> None:
    document = json.loads((EXAMPLES / "mlp.json").read_text()) | {"max_shard_size": "15kB"}
    text, path = json.dumps(document), tmp_path / "x.safetensors"
    done = seedpoint("build", "-", "-o", path, stdin=text)
    assert done.exit_code == 2
    assert done.stderr == f"the checkpoint is 3 files; give a directory (-o {path}/)\n"
    assert not list(tmp_path.iterdir())
    assert seedpoint("build", "-", "-o", f"{path}/", stdin=text).exit_code == 0
    assert len(list(path.iterdir())) == 3
    assert seedpoint("build", "-", "-o", path, stdin=text).exit_code == 0


def test_wrong_usage_is_exit_code_2() -> None:
    for arguments in (["build"], ["serve", "--port", "99999"], ["nothing"]):
        assert seedpoint(*arguments).exit_code == 2


def test_help_imports_nothing_that_takes_long() -> None:
    heavy = {"torch", "numpy", "numba", "pydantic", "fastapi", "asyncio", "rich"}
    script = (
        "import sys; from seedpoint.service.cli import app; "
        "app(['--help'], standalone_mode=False); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert not heavy & set(done.stdout.split())


def test_the_command_ends_with_the_exit_code_of_its_fault() -> None:
    command = [Path(sys.executable).with_name("seedpoint"), "plan", "-"]
    done = subprocess.run(command, input="{}", capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert done.stderr == "architecture: missing; an object with a `type`\n"


# --- verify ------------------------------------------------------------------------


@pytest.fixture
def built(tmp_path: Path) -> Path:
    path = tmp_path / "mlp.safetensors"
    assert seedpoint("build", EXAMPLES / "mlp.json", "-o", path).exit_code == 0
    return path


def test_verify_says_that_a_file_is_what_its_header_says(built: Path) -> None:
    done = seedpoint("verify", built, "--threads", "2", "--device", "cpu")
    assert done.exit_code == 0, done.stderr
    identity, verdict, today = done.stdout.splitlines()
    assert identity.startswith("checkpoint ") and len(identity.split()[1]) == 64
    assert verdict == "verified: all 31,784 bytes of 1 file are what the header says"
    assert today == "the installed libraries make the same plan"


def test_verify_as_json_is_the_report(built: Path) -> None:
    report = json.loads(seedpoint("verify", built, "--json").stdout)
    assert report["verdict"] == "verified" and report["files"] == {str(built): built.stat().st_size}
    assert report["today"] == {"same_plan": True, "remark": None}


def test_verify_names_the_first_difference_and_ends_with_exit_code_6(built: Path) -> None:
    data = bytearray(built.read_bytes())
    data[-1] ^= 1
    built.write_bytes(data)
    done = seedpoint("verify", built)
    assert done.exit_code == 6
    assert "differs: 1 tensor is not what the header says" in done.stdout
    offset = len(data) - 4
    assert f"'output.weight' in {built}: element 2559 [9, 255], at byte {offset}, is" in done.stdout


def test_verify_samples_blocks_that_a_seed_chooses(tmp_path: Path) -> None:
    spec = {"architecture": {"type": "Linear", "in_features": 1000, "out_features": 1000}}
    path = tmp_path / "x.safetensors"
    seedpoint("build", "-", "-o", path, "--no-statistics", stdin=json.dumps(spec))
    done = seedpoint("verify", path, "--sample", "3", "--seed-of-sample", "5")
    assert done.exit_code == 0, done.stderr
    assert "no difference in" in done.stdout and "in a sample of 3 blocks" in done.stdout


@pytest.mark.parametrize("content", [b"", b"1234567", b"\xff" * 100, b"\2\0\0\0\0\0\0\0{}"])
def test_what_is_no_checkpoint_is_one_line_and_exit_code_6(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    done = seedpoint("verify", path)
    assert (done.exit_code, done.stdout) == (6, "")
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith(f"{path}: ")


def test_verify_of_what_is_not_there_is_exit_code_5(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing", tmp_path):
        done = seedpoint("verify", path)
        assert done.exit_code == 5 and done.stderr.startswith(f"{path}: ")


def test_verify_of_a_checkpoint_bound_to_this_platform(tmp_path: Path) -> None:
    document = json.loads((EXAMPLES / "mlp.json").read_text())
    document["init"]["generator"] = "torch"
    path = tmp_path / "mlp.safetensors"
    seedpoint("build", "-", "-o", path, stdin=json.dumps(document))
    done = seedpoint("verify", path)
    assert done.exit_code == 0, done.stdout + done.stderr
    assert "verified: " in done.stdout


def test_verify_of_a_checkpoint_bound_to_another_platform_is_exit_code_4(tmp_path: Path) -> None:
    document = json.loads((EXAMPLES / "mlp.json").read_text())
    document["init"]["generator"] = "torch"
    plan = make_plan(parse_spec(document), platform={"torch": "0.4.1"}).plan
    (file,) = layout(plan).files.values()
    path = tmp_path / "mlp.safetensors"
    path.write_bytes(file.head + bytes(file.size_bytes - len(file.head)))
    done = seedpoint("verify", path)
    assert done.exit_code == 4
    assert "incomplete: no difference in 0 of 31,784 bytes" in done.stdout
    assert "not checked: 'hidden.weight', 'hidden.bias'" in done.stdout
    assert "0.4.1" in done.stdout


def test_the_command_verifies_what_it_builds(tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("seedpoint")
    path = tmp_path / "x.safetensors"
    for arguments in (["build", EXAMPLES / "shared.json", "-o", path], ["verify", path]):
        done = subprocess.run([command, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert done.stderr == ""


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_exit_code_4(tmp_path: Path) -> None:
    for command in (["build", EXAMPLES / "mlp.json", "-o", tmp_path / "x"], ["serve"]):
        done = seedpoint(*command, "--device", "cuda")
        assert done.exit_code == 4
        assert "no CUDA device is available" in done.stderr


def test_presets_are_listed_by_a_word_of_their_names() -> None:
    every = json.loads(seedpoint("presets", "--json").stdout)
    assert [item["name"] for item in every] == list(presets.names())
    shown = seedpoint("presets", "LLAMA").stdout
    assert "llama-tiny" in shown and "8,030,261,248" in shown and "bert" not in shown
    none = seedpoint("presets", "zzz")
    assert none.exit_code == 3
    assert "no preset has 'zzz' in its name" in none.stderr


def test_a_narrow_terminal_gets_whole_names_and_fewer_columns() -> None:
    document = json.loads(seedpoint("plan", EXAMPLES / "gpt2.json", "--json").stdout)
    wide, narrow = Console(width=400, record=True), Console(width=72, record=True)
    for shown in (wide, narrow):
        shown.print(plan_table(document, shown.width))
    name, few = "transformer.h.11.mlp.c_proj.weight", narrow.export_text()
    assert name in few and "fan_out" not in few and "a wider terminal shows more" in few
    every = wide.export_text()
    assert name in every and "fan_out" in every and "a wider terminal" not in every
