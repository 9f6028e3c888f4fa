"""Dropout: what it drops, and that a share of a batch loses what the whole batch loses."""

import pytest
import torch

from simulgen_pipeline.models.dropout import Dropout


def test_features_are_dropped_as_often_as_asked_and_their_mean_is_kept() -> None:
    torch.manual_seed(0)
    y = Dropout(0.3)(torch.ones(200, 500))
    assert float((y == 0).float().mean()) == pytest.approx(0.3, abs=0.01)
    assert y[y > 0].unique().tolist() == pytest.approx([1 / 0.7])
    # Of each design and each feature others.
    for dim in (0, 1):
        assert float((y == 0).float().mean(dim=dim).std()) < 0.05


@pytest.mark.parametrize("probability", [0.0, 0.3])
def test_nothing_is_dropped_in_evaluation_or_with_probability_zero(probability: float) -> None:
    dropout, x = Dropout(probability), torch.randn(5, 4)
    if probability:
        dropout.eval()
    assert torch.equal(dropout(x), x)


@pytest.mark.parametrize("shape", [(7, 4), (7, 3, 4)], ids=str)
@pytest.mark.parametrize("places", [[0, 3, 6], [5], [2, 1, 4, 0, 6, 3, 5]], ids=str)
def test_a_share_of_a_batch_loses_what_it_does_in_the_whole_batch(
    shape: tuple[int, ...], places: list[int]
) -> None:
    x = torch.randn(shape)
    whole, share = Dropout(0.5), Dropout(0.5)
    share.take_share(torch.tensor(places), len(x))
    torch.manual_seed(0)
    first, second = whole(x), whole(x)
    torch.manual_seed(0)
    assert torch.equal(share(x[places]), first[places])
    assert torch.equal(share(x[places]), second[places])
    assert not torch.equal(first, second)


def test_gradients_are_those_of_what_is_kept() -> None:
    x = torch.ones(4, 50, requires_grad=True)
    y = Dropout(0.5)(x)
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, y.detach())
    assert Dropout(0.5)(x.to(torch.bfloat16)).dtype == torch.bfloat16


def test_designs_that_are_not_the_share_are_refused() -> None:
    dropout = Dropout(0.5)
    dropout.take_share(torch.tensor([3]), 5)
    with pytest.raises(ValueError, match="Expected the 1 designs of the share, got 4"):
        dropout(torch.ones(4, 6))
    dropout.eval()
    assert dropout(torch.ones(4, 6)).shape == (4, 6)
