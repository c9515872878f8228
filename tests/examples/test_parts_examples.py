"""Examples with parts, slices and stacks, each against the PyTorch code that it mirrors."""

from __future__ import annotations

import math

import torch
from torch import nn

from tests.examples.test_examples import SEED, assert_same_bits, by, example
from tests.support.issued import issued


def test_an_lstm_whose_forget_gate_starts_at_one() -> None:
    torch.manual_seed(SEED)
    script = nn.LSTM(16, 32)
    with torch.no_grad():
        script.bias_ih_l0[32:64].fill_(1)
        script.bias_hh_l0[32:64].zero_()
    assert_same_bits(issued(by("lstm_forget_bias", "torch")), script)
    found = issued(example("lstm_forget_bias"))
    assert torch.equal((found["bias_ih_l0"] + found["bias_hh_l0"])[32:64], torch.ones(32))


def test_a_padded_vocabulary() -> None:
    torch.manual_seed(SEED)
    script = nn.Embedding(128, 16)
    with torch.no_grad():
        script.weight.normal_(std=0.02)
        script.weight[100:].zero_()
    assert_same_bits(issued(by("padded_vocabulary", "torch")), script)


def test_pretrained_rows() -> None:
    torch.manual_seed(SEED)
    script = nn.Embedding(100, 3)
    with torch.no_grad():
        script.weight[:2] = torch.tensor([[1.0, 2, 3], [4, 5, 6]])
        script.weight[2:].normal_(std=0.1)
    assert_same_bits(issued(by("pretrained_rows", "torch")), script)


def test_a_stack_of_experts() -> None:
    torch.manual_seed(SEED)
    up, down = torch.empty(4, 64, 32), torch.empty(4, 32, 64)
    up.uniform_(-math.sqrt(6 / 96), math.sqrt(6 / 96))
    for expert in down:
        nn.init.orthogonal_(expert)
    found = issued(by("experts_stack", "torch"))
    assert torch.equal(found["experts.down"], down)
    assert torch.allclose(found["experts.up"], up, atol=1e-7)
