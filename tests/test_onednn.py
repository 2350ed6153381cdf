"""Faster convolutions give the same numbers."""

import pytest
import torch
from torch import nn

from lldm_aug.models.trained_model import OneDnnConv3d, prefer_onednn


@pytest.mark.parametrize(("stride", "padding", "groups"), [(1, 1, 1), (2, 1, 1), (1, 0, 2)])
def test_results_agree_with_stock_convolutions(stride: int, padding: int, groups: int) -> None:
    """Values and gradients, for a single sample and for a batch."""
    torch.manual_seed(0)
    stock = nn.Conv3d(4, 6, 3, stride=stride, padding=padding, groups=groups)
    network = nn.Sequential(nn.Conv3d(4, 6, 3, stride=stride, padding=padding, groups=groups))
    network[0].load_state_dict(stock.state_dict())
    prefer_onednn(network)
    assert isinstance(network[0], OneDnnConv3d)
    for batch in (1, 3):
        x = torch.randn(batch, 4, 10, 9, 8)
        torch.testing.assert_close(network(x), stock(x), rtol=1e-4, atol=1e-5)
        stock.zero_grad(), network.zero_grad()
        stock(x).square().sum().backward()
        network(x).square().sum().backward()
        torch.testing.assert_close(network[0].weight.grad, stock.weight.grad, rtol=1e-3, atol=1e-3)


def test_autocast_and_other_types_still_work() -> None:
    """Where oneDNN's float32 path does not apply, the stock one does."""
    network = nn.Sequential(nn.Conv3d(2, 3, 3, padding=1))
    prefer_onednn(network)
    with torch.autocast("cpu", torch.bfloat16):
        assert network(torch.zeros(1, 2, 6, 6, 6)).dtype == torch.bfloat16
    assert network.double()(torch.zeros(1, 2, 6, 6, 6, dtype=torch.float64)).dtype == torch.float64
