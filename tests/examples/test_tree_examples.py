"""The examples of trees against the PyTorch code they mirror, bit for bit under `torch`."""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from safetensors.torch import load
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from tests.examples.test_examples import SEED, assert_same_bits, by, example, file_bytes, sequential
from tests.examples.test_library_examples import issued


class BasicBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 16, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(16)
        self.downsample = nn.Sequential(
            nn.Conv2d(8, 16, 1, stride=2, bias=False), nn.BatchNorm2d(16)
        )


def test_a_residual_block() -> None:
    torch.manual_seed(SEED)
    net = BasicBlock()
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    nn.init.zeros_(net.bn2.weight)
    assert_same_bits(sequential(by("residual_block", "torch")), net)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(32)
        self.attn = nn.MultiheadAttention(32, 4)
        self.norm2 = nn.LayerNorm(32)
        layers = OrderedDict(fc1=nn.Linear(32, 128), act=nn.GELU(), fc2=nn.Linear(128, 32))
        self.mlp = nn.Sequential(layers)


class VisionTransformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.empty(1, 1, 32))
        self.pos_embed = nn.Parameter(torch.empty(1, 17, 32))
        self.patch_embed = nn.Conv2d(3, 32, 4, stride=4)
        self.blocks = nn.Sequential(Block(), Block())
        self.norm = nn.LayerNorm(32)
        self.head = nn.Linear(32, 10)


def test_a_vit_with_a_class_token() -> None:
    torch.manual_seed(SEED)
    net = VisionTransformer()

    def initialize(m: nn.Module) -> None:
        if isinstance(m, nn.Linear) and m is not net.head:
            nn.init.trunc_normal_(m.weight, std=0.02)
            nn.init.zeros_(m.bias)

    net.apply(initialize)
    nn.init.normal_(net.cls_token, std=1e-6)
    nn.init.trunc_normal_(net.pos_embed, std=0.02)
    nn.init.zeros_(net.head.weight)
    nn.init.zeros_(net.head.bias)
    assert_same_bits(sequential(by("vit", "torch")), net)


class ConvNextBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(16, 16, 7, padding=3, groups=16)
        self.norm = nn.LayerNorm(16)
        self.pwconv1 = nn.Linear(16, 64)
        self.pwconv2 = nn.Linear(64, 16)
        self.gamma = nn.Parameter(1e-6 * torch.ones(16))


def test_a_layer_scale() -> None:
    torch.manual_seed(SEED)
    net = ConvNextBlock()

    def initialize(m: nn.Module) -> None:
        if isinstance(m, nn.Conv2d | nn.Linear):
            nn.init.trunc_normal_(m.weight, std=0.02)
            nn.init.zeros_(m.bias)

    net.apply(initialize)
    assert_same_bits(sequential(by("layer_scale", "torch")), net)


class LoRALinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Linear(64, 32)
        self.lora_A = nn.Linear(64, 8, bias=False)
        self.lora_B = nn.Linear(8, 32, bias=False)


def test_a_lora_pair() -> None:
    torch.manual_seed(SEED)
    net = LoRALinear()
    nn.init.kaiming_uniform_(net.lora_A.weight, a=math.sqrt(5))
    nn.init.zeros_(net.lora_B.weight)
    assert_same_bits(sequential(by("lora", "torch")), net)


def test_mup_by_expressions() -> None:
    torch.manual_seed(SEED)
    net = nn.Module()
    net.embed = nn.Embedding(100, 256)
    net.hidden = nn.Sequential(*(nn.Linear(256, 256, bias=False) for _ in range(2)))
    net.readout = nn.Linear(256, 100, bias=False)
    nn.init.normal_(net.embed.weight, std=0.1)
    for hidden in net.hidden:
        nn.init.normal_(hidden.weight, std=0.1 * math.sqrt(64 / 256))
    nn.init.normal_(net.readout.weight, std=0.1 * 64 / 256)
    assert_same_bits(sequential(by("mup", "torch")), net)


class GptBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(32)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(32, 96), "proj": nn.Linear(32, 32)})
        self.ln_2 = nn.LayerNorm(32)
        self.mlp = nn.ModuleDict({"fc": nn.Linear(32, 128), "proj": nn.Linear(128, 32)})


def test_a_gpt_whose_residual_weights_shrink_with_depth() -> None:
    torch.manual_seed(SEED)
    net = nn.Module()
    net.wte = nn.Embedding(100, 32)
    net.h = nn.Sequential(*(GptBlock() for _ in range(4)))
    net.lm_head = nn.Linear(32, 100, bias=False)
    net.lm_head.weight = net.wte.weight
    depth = {m: layer for layer, block in enumerate(net.h) for m in block.modules()}
    residual = {block[part]["proj"] for block in map(vars_of, net.h) for part in ("attn", "mlp")}

    def initialize(m: nn.Module) -> None:
        if isinstance(m, nn.Linear | nn.Embedding):
            scale = 1 / math.sqrt(2 * (depth[m] + 1)) if m in residual else 1
            nn.init.trunc_normal_(m.weight, std=0.02 * scale)
        if isinstance(m, nn.Linear) and m.bias is not None:
            nn.init.zeros_(m.bias)

    net.apply(initialize)
    assert_same_bits(sequential(by("depth_scaled_gpt", "torch")), net)


def vars_of(module: nn.Module) -> dict[str, nn.Module]:
    return dict(module.named_children())


def test_weight_norm() -> None:
    torch.manual_seed(SEED)
    layers = OrderedDict(
        conv1=weight_norm(nn.Conv1d(4, 16, 3)),
        relu=nn.ReLU(),
        conv2=weight_norm(nn.Conv1d(16, 16, 3)),
    )
    net = nn.Sequential(layers)
    for conv in (net.conv1, net.conv2):
        nn.init.zeros_(conv.bias)
    assert_same_bits(sequential(by("weight_norm", "torch")), net)
    net.load_state_dict(load(file_bytes(example("weight_norm"))), strict=True)
    for conv in (net.conv1, net.conv2):  # the product is the weight as it was drawn
        drawn = conv.parametrizations.weight.original1
        assert torch.allclose(conv.weight, drawn, rtol=1e-6)


def test_a_backbone_of_timm_and_a_head_of_one_s_own() -> None:
    found = issued("timm_backbone_and_head")
    import timm

    net = nn.Module()
    net.backbone = timm.create_model("resnet10t", num_classes=0)
    net.head = nn.Linear(512, 10)
    net.load_state_dict(found, strict=True)
    assert not found["head.bias"].any()
    assert 0.015 < found["head.weight"].std() < 0.025
