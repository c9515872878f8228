"""Plain PyTorch: a module on `meta` gets its memory and its values, without a file or a copy.

python examples/ranks/plain.py
"""

from __future__ import annotations

import torch
from transformer import SPEC, Transformer

import seedpoint


def main() -> Transformer:
    with torch.device("meta"):
        model = Transformer()
    seedpoint.load_into(model, SPEC)
    return model


if __name__ == "__main__":
    print(main()(torch.zeros(1, 8, dtype=torch.long)).shape)
