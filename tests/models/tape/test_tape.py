"""The tape: recorded constructions against real ones, and the programs they give."""

from __future__ import annotations

import copy
import hashlib
import inspect
import math
import signal
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.init import dirac_, eye_, orthogonal_, sparse_, trunc_normal_

from models.dtypes import BY_NAME
from models.generate import Evaluator
from models.plan import Plan, PlanTensor
from models.program import (
    Add,
    Clamp,
    Constant,
    Dirac,
    Divide,
    Exp,
    Expm1,
    Eye,
    FillRegion,
    Literal,
    Log,
    Normal,
    Norms,
    Orthogonal,
    Part,
    Plus,
    Program,
    Scale,
    Sparse,
    Split,
    Transform,
    TruncNormal,
    Uniform,
    ZeroRows,
    program_from_json,
    to_json,
)
from models.tape import Tape, TapeTensor, record
from models.verify.soundness import check_program
from tests.support.torch_cases import WITHOUT_PARAMETERS, Build, cases

CASES = list(cases())
SEED = 20260

# torch's advice on layers that are meant as they are (sizes of zero, nested tensors).
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class Made(nn.Module):
    """A module of what `make` puts into it."""

    def __init__(self, make: Callable[[nn.Module], object]) -> None:
        super().__init__()
        with torch.no_grad():
            make(self)


def made(make: Callable[[Any], object]) -> Build:
    return lambda: Made(make)


def initialized(*shape: int, init: Callable[[Tensor], object]) -> Build:
    """A module with one parameter `w`, given to `init`."""

    def make(module: Any) -> None:
        module.w = nn.Parameter(torch.empty(shape))
        init(module.w)

    return made(make)


def programs(build: Build) -> dict[str, Program | None]:
    return {tensor.name: tensor.program for tensor in record(build).tensors}


def only(build: Build) -> TapeTensor:
    (tensor,) = record(build).tensors
    return tensor


def real(build: Build, seed: int = SEED) -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return dict(build().state_dict())


def assert_replays(tape: Tape, build: Build) -> None:
    replayed, constructed = tape.replay(SEED), real(build)
    assert list(replayed) == [name for t in tape.tensors for name in (t.name, *t.aliases)]
    assert replayed.keys() == constructed.keys()
    for name, value in constructed.items():
        assert replayed[name].dtype == value.dtype
        assert replayed[name].shape == value.shape
        assert torch.equal(replayed[name].contiguous(), value), name


def assert_programs_hold(tape: Tape, build: Build) -> None:
    """Every program, as far as real values can tell."""
    values = real(build)
    for tensor in tape.tensors:
        assert tensor.program is not None, tensor.reason
        value, source = values[tensor.name], tensor.program.source
        match source:
            case Constant():
                assert torch.equal(value, torch.full_like(value, source.value))
            case Literal():
                data = tape.literals[source.sha256]
                assert data == value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
            case Uniform() if not tensor.program.transforms:
                slack = 1e-2 if value.dtype.itemsize < 4 else 1e-6
                assert bool((value.double() >= source.low - slack).all())
                assert bool((value.double() <= source.high + slack).all())
            case Normal():
                assert bool(((value - source.mean).abs() <= 6 * source.std).all())
        if isinstance(source, Uniform | Normal) and source.stream is not None:
            assert torch.equal(value, values[source.stream])


# --- the replay oracle -----------------------------------------------------------


@pytest.mark.parametrize("build", [pytest.param(b, id=shown) for _, shown, b in CASES])
def test_a_recorded_class_of_torch_nn_replays_to_the_bits_of_a_real_one(build: Build) -> None:
    tape = record(build)
    assert_replays(tape, build)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_every_class_of_torch_nn_with_parameters_has_a_case() -> None:
    tested = {name for name, _, _ in CASES}
    for name, cls in vars(nn).items():
        if not inspect.isclass(cls) or not issubclass(cls, nn.Module) or name in tested:
            continue
        module = cls(**WITHOUT_PARAMETERS.get(name, {}))
        assert not module.state_dict(), f"{name} has parameters and no case"


@pytest.mark.parametrize("name", sorted({name for name, _, _ in CASES} - {"RNNCellBase"}))
def test_the_programs_of_a_class_hold_for_its_real_values(name: str) -> None:
    for case, _, build in CASES:
        if case == name:
            assert_programs_hold(record(build), build)


def test_recording_leaves_torch_as_it_was() -> None:
    before = torch.Tensor.numpy, torch.tensor, torch.manual_seed, orthogonal_.__code__
    torch.manual_seed(3)
    record(lambda: nn.Transformer(8, 2, 1, 1, 16))
    state = torch.rand(3)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(3), state)
    assert (torch.Tensor.numpy, torch.tensor, torch.manual_seed, orthogonal_.__code__) == before
    assert torch.get_default_dtype() == torch.float32


# --- distributions and their arguments -----------------------------------------------


def test_a_linear_layer_draws_what_kaiming_uniform_and_its_bias_rule_draw() -> None:
    bound = math.sqrt(3.0) * (math.sqrt(2.0 / (1 + math.sqrt(5) ** 2)) / math.sqrt(20))
    assert programs(lambda: nn.Linear(20, 30)) == {
        "weight": Program(Uniform.of(-bound, bound)),
        "bias": Program(Uniform.of(-1 / math.sqrt(20), 1 / math.sqrt(20))),
    }


def test_every_tensor_of_a_recurrent_layer_is_uniform_by_its_hidden_size() -> None:
    found = programs(lambda: nn.LSTM(3, 4, 2, bidirectional=True, proj_size=2))
    assert len(found) == 20
    assert set(found.values()) == {Program(Uniform.of(-0.5, 0.5))}


def test_the_padding_row_of_an_embedding_is_zeroed() -> None:
    normal = Normal.of(0.0, 1.0)
    assert programs(lambda: nn.Embedding(7, 3)) == {"weight": Program(normal)}
    padded = programs(lambda: nn.Embedding(7, 3, padding_idx=-1))
    assert padded == {"weight": Program(normal, (ZeroRows((6,)),))}


def test_a_counter_is_an_exact_integer_and_a_fill_is_exact_in_its_dtype() -> None:
    found = programs(lambda: nn.BatchNorm1d(3))
    assert found["num_batches_tracked"] == Program(Constant(0))
    assert isinstance(found["num_batches_tracked"].source.value, int)
    assert programs(lambda: nn.PReLU(2, init=0.1)) == {
        "weight": Program(Constant(float(np.float32(0.1))))
    }


def test_units_of_torch_nn_init_are_recognised_under_any_import() -> None:
    assert only(initialized(6, 4, init=eye_)).program == Program(Eye())
    assert only(initialized(6, 4, 3, init=lambda w: dirac_(w, 2))).program == Program(Dirac(2))
    assert only(initialized(6, 4, init=lambda w: orthogonal_(w, 0.5))).program == Program(
        Orthogonal(0.5)
    )
    assert only(initialized(6, 4, init=lambda w: sparse_(w, 0.3, std=0.1))).program == Program(
        Sparse.of(0.3, 0.1)
    )
    truncated = only(initialized(6, 4, init=lambda w: trunc_normal_(w, std=0.5, b=1.0)))
    assert truncated.program == Program(TruncNormal.of(0.0, 0.5, -2.0, 1.0))


@pytest.mark.parametrize(
    "init",
    [orthogonal_, eye_, trunc_normal_, lambda w: sparse_(w, 0.5), lambda w: orthogonal_(w.t())],
)
def test_units_of_torch_nn_init_replay(init: Callable[[Tensor], object]) -> None:
    build = initialized(6, 4, init=init)
    assert_replays(record(build), build)


def test_a_unit_that_took_a_tensor_as_another_matrix_is_not_that_unit() -> None:
    eye = only(initialized(6, 4, init=lambda w: eye_(w.view(2, 12))))
    assert isinstance(eye.program.source, Literal)
    assert only(initialized(6, 4, init=lambda w: orthogonal_(w.view(2, 12)))).program is None
    assert only(initialized(6, 4, init=lambda w: orthogonal_(w.t()))).program is None


def test_sparse_takes_two_draws() -> None:
    def init(w: Tensor) -> None:
        sparse_(w[:3], 0.5)
        orthogonal_(w[3:])

    assert only(initialized(6, 4, init=init)).program == Program(
        Split(
            0,
            (
                Part(3, Program(Sparse.of(0.5, 0.01, draw=0, stream="w"))),
                Part(3, Program(Orthogonal(1.0, draw=2, stream="w"))),
            ),
        )
    )


@pytest.mark.parametrize("init", [Tensor.exponential_, lambda w: w.copy_(w.normal_() @ w.t() @ w)])
def test_a_tensor_without_a_program_says_which_operation_and_line(
    init: Callable[[Tensor], object],
) -> None:
    tensor = only(initialized(6, 4, init=init))
    assert tensor.program is None
    assert tensor.reason is not None
    assert "aten." in tensor.reason
    assert "test_tape.py:" in tensor.reason


# --- draws: which tensor owns one, and its number --------------------------------------


def test_deep_copied_layers_hold_the_draws_of_the_first() -> None:
    def build() -> nn.Module:
        return nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 3)

    tape = record(build)
    found = {t.name: t.program for t in tape.tensors}
    values = real(build)
    for name in ("self_attn.in_proj_weight", "linear1.weight", "linear2.bias"):
        first = found[f"layers.0.{name}"].source
        assert first.stream is None
        for layer in (1, 2):
            copied = found[f"layers.{layer}.{name}"].source
            assert copied == type(first).of(
                first.low, first.high, draw=first.draw, stream=f"layers.0.{name}"
            )
            assert torch.equal(values[f"layers.{layer}.{name}"], values[f"layers.0.{name}"])


def test_a_transformer_draws_its_matrices_anew_but_not_its_biases() -> None:
    found = programs(lambda: nn.Transformer(8, 2, 2, 2, 16))
    assert found["encoder.layers.1.linear1.weight"].source.stream is None
    bias = found["encoder.layers.1.linear1.bias"].source
    assert bias.stream == "encoder.layers.0.linear1.bias"


def test_a_draw_that_is_overwritten_has_no_number() -> None:
    def init(w: Tensor) -> None:
        nn.init.kaiming_uniform_(w)
        w.zero_()
        nn.init.normal_(w, std=0.5)

    assert only(initialized(4, 4, init=init)).program == Program(Normal.of(0.0, 0.5, draw=0))


def test_parts_drawn_apart_are_a_split_whose_draws_are_numbered_in_order() -> None:
    def init(w: Tensor) -> None:
        nn.init.uniform_(w)
        w[3:].uniform_(-2, 2)
        w[:2].normal_()
        w[2].fill_(1.5)

    assert only(initialized(6, 4, init=init)).program == Program(
        Split(
            0,
            (
                Part(2, Program(Normal.of(0.0, 1.0, draw=1, stream="w"))),
                Part(1, Program(Constant(1.5))),
                Part(3, Program(Uniform.of(-2.0, 2.0, draw=0, stream="w"))),
            ),
        )
    )


def test_a_deep_copied_buffer_keeps_its_values() -> None:
    def build() -> nn.Module:
        layer = nn.Sequential(nn.BatchNorm1d(3, momentum=None), nn.Linear(3, 3))
        layer[0].running_mean.fill_(0.25)
        return nn.ModuleList([layer, copy.deepcopy(layer)])

    tape = record(build)
    assert_replays(tape, build)
    found = {t.name: t.program for t in tape.tensors}
    assert found["1.0.running_mean"] == Program(Constant(0.25))
    assert found["1.1.weight"].source.stream == "0.1.weight"


def test_weight_norm_shares_the_draw_of_its_first_tensor() -> None:
    def build() -> nn.Module:
        return nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))

    tape = record(build)
    assert_replays(tape, build)
    norm, direction = tape.tensors[1:]
    assert norm.name.endswith("original0")
    assert direction.program.source.stream == norm.name
    assert norm.program == Program(Norms(direction.program, (3, 4), 0))


@pytest.mark.parametrize(("shape", "dim"), [((6, 4, 3), 0), ((6, 4, 3), 2), ((5, 7), 1)])
def test_the_norms_of_weight_norm_are_those_of_its_direction(
    shape: tuple[int, ...], dim: int
) -> None:
    class Module(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(shape) * 2)
            nn.utils.parametrizations.weight_norm(self, dim=dim)

    norm, direction = record(Module).tensors
    dtype = BY_NAME["float32"]
    planned = tuple(
        PlanTensor(tensor.name, tensor.shape, dtype, "parameter", "Module", tensor.program)
        for tensor in (norm, direction)
    )
    evaluator = Evaluator(Plan(3, "philox-v1", {}, planned))
    raw = [np.empty(tensor.nbytes, np.uint8) for tensor in planned]
    for number, out in enumerate(raw):
        evaluator.fill(number, 0, planned[number].numel, out)
        check_program(planned[number].program, planned[number].shape, dtype)
    norms, values = (
        out.view(np.float32).reshape(tensor.shape) for out, tensor in zip(raw, planned, strict=True)
    )
    axes = tuple(axis for axis in range(len(shape)) if axis != dim)
    np.testing.assert_allclose(
        norms, np.sqrt((values.astype(np.float64) ** 2).sum(axes, keepdims=True)), rtol=1e-7
    )
    part = np.empty(8, np.uint8)
    evaluator.fill(0, 1, 3, part)
    assert part.tobytes() == raw[0][4:12].tobytes()
    assert program_from_json(to_json(norm.program)) == norm.program


@pytest.mark.parametrize(
    "wrap",
    [
        nn.utils.parametrizations.orthogonal,
        nn.utils.parametrizations.spectral_norm,
        nn.utils.parametrizations.weight_norm,
    ],
)
def test_parametrizations_replay(wrap: Callable[[nn.Module], nn.Module]) -> None:
    def build() -> nn.Module:
        return wrap(nn.Linear(4, 6))

    assert_replays(record(build), build)


# --- transforms and partial writes ------------------------------------------------------


def transformed(*transforms: Transform) -> Program:
    return Program(Normal.of(0.0, 1.0), transforms)


@pytest.mark.parametrize(
    ("change", "program"),
    [
        (lambda w: w.mul_(0.1).add_(1), transformed(Scale(0.1), Add(1.0))),
        (lambda w: w.sub_(0.5).div_(4), transformed(Add(-0.5), Scale(0.25))),
        (lambda w: w.neg_().clamp_(-1, 2), transformed(Scale(-1.0), Clamp(-1.0, 2.0))),
        (lambda w: w.clamp_(min=0.5), transformed(Clamp(min=0.5))),
        (lambda w: w.copy_(torch.tensor(3.0) * w), transformed(Scale(3.0))),
        (lambda w: w[1].zero_(), transformed(ZeroRows((1,)))),
        (
            lambda w: w[:, 2:].fill_(1),
            transformed(FillRegion(((0, 4, 1), (2, 4, 1)), 1.0)),
        ),
        (
            lambda w: w.__setitem__((3, 2), 5),
            transformed(FillRegion(((3, 4, 1), (2, 3, 1)), 5.0)),
        ),
        (
            lambda w: w[::2].mul_(0),
            None,
        ),
        (lambda w: w.div_(3), transformed(Divide(3.0))),
        (lambda w: w.exp_(), transformed(Exp())),
        (lambda w: w.expm1_().exp_().log_(), transformed(Expm1(), Exp(), Log())),
        (lambda w: w.sub_(3, alpha=2), transformed(Add(-6.0))),
        (lambda w: w.copy_(1 - w), transformed(Scale(-1.0), Add(1.0))),
        (lambda w: w.add_(torch.exp(-w)), transformed(Plus((Scale(-1.0), Exp())))),
        (lambda w: w.copy_(torch.expm1(w) + w), transformed(Plus((Expm1(),)))),
        (lambda w: w.copy_(torch.expm1(w) + torch.exp(w)), None),
        (lambda w: w.div_(0), None),
        (lambda w: w.tanh_(), None),
        (lambda w: w.add_(torch.randn(4, 4)), None),
    ],
)
def test_what_is_done_to_a_draw_becomes_transforms_or_no_program(
    change: Callable[[Tensor], object], program: Program | None
) -> None:
    def init(w: Tensor) -> None:
        w.normal_()
        change(w)

    build = initialized(4, 4, init=init)
    tape = record(build)
    assert_replays(tape, build)
    assert tape.tensors[0].program == program
    assert (tape.tensors[0].reason is None) == (program is not None)


def test_a_draw_through_a_transposed_view_fills_the_tensor() -> None:
    build = initialized(6, 4, init=lambda w: nn.init.normal_(w.t(), std=0.5))
    assert_replays(record(build), build)
    assert only(build).program == Program(Normal.of(0.0, 0.5))


def test_a_tensor_that_rearranges_the_draw_of_another_has_no_program() -> None:
    def make(module: Any) -> None:
        drawn = torch.randn(4, 4)
        module.a, module.b = nn.Parameter(drawn), nn.Parameter(drawn.t().clone())

    build = made(make)
    tape = record(build)
    assert_replays(tape, build)
    assert tape.tensors[0].program == Program(Normal.of(0.0, 1.0))
    assert tape.tensors[1].program is None


def test_draws_are_cast_at_the_end_and_never_rounded_before_a_transform() -> None:
    tape = record(lambda: nn.Sequential(nn.Linear(3, 3).bfloat16(), nn.Linear(3, 3).half().float()))
    assert [t.program is not None for t in tape.tensors] == [True, True, False, False]
    assert [t.dtype.name for t in tape.tensors] == ["bfloat16", "bfloat16", "float32", "float32"]


# --- what is computed, given or never written --------------------------------------------


def test_a_computed_table_is_baked_as_a_literal() -> None:
    def make(module: Any) -> None:
        position = torch.arange(10).unsqueeze(1).float()
        scale = torch.exp(torch.arange(0, 8, 2) * (-math.log(10000.0) / 8))
        table = torch.empty(10, 8)
        table[:, 0::2] = torch.sin(position * scale)
        table[:, 1::2] = torch.cos(position * scale)
        module.register_buffer("table", table)
        module.register_buffer("hidden", torch.ones(3), persistent=False)

    build = made(make)
    tape = record(build)
    assert_replays(tape, build)
    (tensor,) = tape.tensors
    data = real(build)["table"].numpy().tobytes()
    assert tensor.kind == "buffer"
    assert tensor.program == Program(Literal(hashlib.sha256(data).hexdigest(), "float32"))
    assert tape.literals == {tensor.program.source.sha256: data}


def test_known_values_can_be_read_while_recording() -> None:
    def make(module: Any) -> None:
        rates = [rate.item() for rate in torch.linspace(0, 1, 5)]
        array = np.sin(torch.linspace(0, 1, 3).numpy())
        module.register_buffer("given", torch.from_numpy(array))
        module.register_buffer("nested", torch.tensor([torch.ones(()), torch.zeros(())]))
        module.register_buffer("chosen", torch.arange(10)[torch.arange(10) > 6])
        module.layers = nn.Sequential(*(nn.Linear(2, 2) for rate in rates if rate > 0.3))

    build = made(make)
    tape = record(build)
    assert_replays(tape, build)
    assert_programs_hold(tape, build)


def test_a_long_computation_is_run_where_no_expression_says_it() -> None:
    def make(module: Any) -> None:
        table = torch.zeros(3)
        for _ in range(1000):
            table = table + 1
        module.register_buffer("table", table)

    assert only(made(make)).program == Program(Constant(1000.0))


def test_a_parameter_never_written_has_no_program() -> None:
    tape = record(lambda: nn.utils.skip_init(nn.Linear, 3, 4))
    assert [(t.program, t.reason) for t in tape.tensors] == [(None, "never written")] * 2
    partly = only(initialized(4, 4, init=lambda w: w[:2].zero_()))
    assert partly.program is None
    assert "never written" in str(partly.reason)


def test_empty_tensors_are_constant() -> None:
    assert programs(lambda: nn.Linear(0, 2))["weight"] == Program(Constant(0.0))


# --- names -----------------------------------------------------------------------------


def test_one_tensor_under_several_names_is_one_with_aliases() -> None:
    def build() -> nn.Module:
        first, second = nn.Linear(3, 3), nn.Linear(3, 3, bias=False)
        second.weight = first.weight
        return nn.Sequential(first, second, first)

    tape = record(build)
    assert_replays(tape, build)
    assert [(t.name, t.aliases) for t in tape.tensors] == [
        ("0.weight", ("1.weight", "2.weight")),
        ("0.bias", ("2.bias",)),
    ]


def test_the_state_dict_gives_order_shape_dtype_and_kind() -> None:
    found = record(lambda: nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))).tensors
    assert [(t.name, t.shape, t.dtype.name, t.kind) for t in found] == [
        ("0.weight", (3, 2), "float32", "parameter"),
        ("0.bias", (3,), "float32", "parameter"),
        ("1.weight", (3,), "float32", "parameter"),
        ("1.bias", (3,), "float32", "parameter"),
        ("1.running_mean", (3,), "float32", "buffer"),
        ("1.running_var", (3,), "float32", "buffer"),
        ("1.num_batches_tracked", (), "int64", "buffer"),
    ]


# --- forward passes, lazy layers, size ------------------------------------------------------


def test_a_lazy_layer_is_initialized_by_a_meta_input_under_the_recorder() -> None:
    def recorded() -> nn.Module:
        layer: Any = nn.LazyConv2d(4, 3)
        layer._infer_parameters(layer, (torch.empty(2, 5, 8, 8, device="meta"),))
        return layer

    def scripted() -> nn.Module:
        layer = nn.LazyConv2d(4, 3)
        layer.eval()(torch.zeros(2, 5, 8, 8))
        return layer

    assert_replays(record(recorded), scripted)


def test_a_forward_pass_of_phantoms_computes_nothing_and_draws_what_a_real_one_draws() -> None:
    def build() -> nn.Module:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            layers = [nn.LazyConv2d(4, 3), nn.Dropout(), nn.Flatten(), nn.LazyLinear(5)]
            module = nn.Sequential(*layers)
            module(torch.zeros(2, 3, 8, 8))
        return module

    assert_replays(record(build), build)


def test_a_405b_model_is_recorded_in_the_memory_of_a_small_one() -> None:
    script = """
        import resource
        import torch
        from torch import nn
        from models.tape import record

        def layer(d, hidden):
            return nn.Sequential(
                nn.RMSNorm(d), nn.Linear(d, d, bias=False), nn.Linear(d, 2048, bias=False),
                nn.Linear(d, d, bias=False), nn.Linear(d, hidden, bias=False),
                nn.Linear(d, hidden, bias=False), nn.Linear(hidden, d, bias=False))

        def model(layers, d, hidden):
            blocks = [layer(d, hidden) for _ in range(layers)]
            return nn.Sequential(nn.Embedding(128256, d), *blocks, nn.Linear(d, 128256))

        record(lambda: model(2, 8, 16))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        tape = record(lambda: model(126, 16384, 53248))
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert sum(p.numel() for p in tape.module.parameters()) > 400e9
        assert all(tensor.program for tensor in tape.tensors)
        print(after - before)
    """
    run = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 64 * 1024  # KiB


def test_a_phantom_tensor_cannot_be_read_behind_the_recorders_back() -> None:
    script = """
        from torch import nn
        from models.tape import record

        record(lambda: nn.Linear(2, 2)).module.weight.sum()
    """
    run = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGSEGV
