"""What a decoding step is made of, alone: products of a few positions, and where keys and values are written."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="the light set has no model")

import torch

from synthesis.native.kv_cache import KVCache
from synthesis.native.layers import FEW_POSITIONS, linear


@pytest.mark.parametrize("shape", [(96,), (1, 96), (2, 1, 96), (2, FEW_POSITIONS // 2, 96), (2, FEW_POSITIONS, 96)])
@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_products_from_the_weights_side_are_those_of_torch(
    shape: tuple[int, ...], has_bias: bool, dtype: torch.dtype
) -> None:
    random = torch.Generator().manual_seed(1)
    x, weight, bias = (torch.randn(*size, generator=random).to(dtype) for size in (shape, (160, 96), (160,)))
    ours = linear(x, weight, bias if has_bias else None)
    expected = torch.nn.functional.linear(x, weight, bias if has_bias else None)
    assert ours.dtype == dtype
    assert ours.shape == expected.shape
    assert float((ours - expected).abs().max()) <= (2e-5 if dtype == torch.float32 else 0), "rounding alone"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_token_is_written_at_its_rows_own_position(dtype: torch.dtype) -> None:
    cache = KVCache(layers=2, rows=4, heads=3, length=8, head_size=5, dtype=dtype, device="cpu")
    positions = torch.tensor([6, 0, 3])
    keys, values = torch.randn(2, 3, 3, 1, 5).to(dtype).unbind(0)
    cache.write_tokens(1, positions, keys, values)
    for written, new in ((cache.keys, keys), (cache.values, values)):
        for row, position in enumerate(positions.tolist()):
            assert torch.equal(written[1, row, :, position], new[row, :, 0])
        written[1, torch.arange(3), :, positions] = 0
        assert not written.any(), "nothing else was touched"
