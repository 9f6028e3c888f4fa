"""Networks that read pictures."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from simulgen_pipeline.models.dropout import Dropout
from simulgen_pipeline.models.picture_networks import (
    ChannelAttention,
    GridHead,
    PictureBlock,
    PictureCnn,
    PictureMerge,
    SpatialAttention,
    VisionTransformer,
    scale_levels,
)

SMALL_FILTERS = (8, 12, 16)


def small_cnn(num_channels: int, image_size: int, num_out: int, **values: Any) -> PictureCnn:
    return PictureCnn(num_channels, image_size, num_out, **{"filters": SMALL_FILTERS, **values})


def small_transformer(
    num_channels: int, image_size: int, num_out: int, **values: Any
) -> VisionTransformer:
    small = {"patch_size": image_size // 4, "embedding": 16}
    return VisionTransformer(num_channels, image_size, num_out, **{**small, **values})


both_networks = pytest.mark.parametrize("make", [small_cnn, small_transformer], ids=["cnn", "vit"])


def noise_pictures(num: int, num_channels: int, size: int) -> Tensor:
    return torch.randint(0, 256, (num, num_channels, size, size), dtype=torch.uint8)


def blobs(num: int, size: int) -> tuple[Tensor, Tensor]:
    """Pictures of a round blob (B, 1, S, S), and where it is (B, 2): row and column, -1 to 1."""
    place = 1.6 * torch.rand(num, 2) - 0.8
    axis = torch.linspace(-1, 1, size)
    square = (axis - place[:, :, None]).square()  # (B, 2, S)
    levels = 255 * torch.exp(-(square[:, 0, :, None] + square[:, 1, None, :]) / (2 * 0.15**2))
    return levels.round().to(torch.uint8).unsqueeze(1), place


def fit(network: nn.Module, batches: Callable[[], tuple[Tensor, Tensor]], num_steps: int) -> float:
    """The loss at the end of some steps of Adam, annealed to nothing."""
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)
    for _ in range(num_steps):
        pictures, targets = batches()
        loss = F.mse_loss(network(pictures), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return loss.item()


def parameters_without_gradient(module: nn.Module) -> list[str]:
    return [
        name
        for name, parameter in module.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]


def test_levels_are_scaled_to_one_either_way() -> None:
    levels = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    expected = torch.tensor([-1.0, -0.6, 1.0]).view(1, 3, 1, 1)
    torch.testing.assert_close(scale_levels(levels), expected)
    torch.testing.assert_close(scale_levels(levels.float()), expected)


@both_networks
@pytest.mark.parametrize(
    ("num_channels", "size"), [(1, 16), (3, 16), (2, 28), (1, 64), (4, 100), (3, 256)]
)
def test_a_picture_becomes_a_vector_and_every_parameter_learns_from_it(
    make: Callable[..., nn.Module], num_channels: int, size: int
) -> None:
    network = make(num_channels, size, 5)
    y = network(noise_pictures(3, num_channels, size))
    assert y.shape == (3, 5)
    assert y.dtype == torch.float32
    (y * torch.randn_like(y)).sum().backward()
    assert parameters_without_gradient(network) == []


@pytest.mark.parametrize("size", [16, 17, 31, 65, 129, 200, 257])
@pytest.mark.parametrize("filters", [(4,), (5, 7), (4, 4, 4, 4, 4, 4)], ids=str)
def test_a_cnn_takes_any_size_and_filters(size: int, filters: tuple[int, ...]) -> None:
    network = PictureCnn(1, size, 3, filters=filters)
    assert network(noise_pictures(2, 1, size)).shape == (2, 3)


@pytest.mark.parametrize(
    ("size", "sides"),
    [
        (16, [16, 16, 8, 4, 4, 8, 16]),
        (31, [31, 31, 16, 8, 8, 16, 31]),
        (64, [64, 32, 16, 8, 8, 16, 32]),
        (256, [64, 32, 16, 8, 8, 16, 32]),
        (1024, [64, 32, 16, 8, 8, 16, 32]),
    ],
)
def test_maps_go_down_and_up_again_and_cost_of_large_pictures_is_that_of_small_ones(
    size: int, sides: list[int]
) -> None:
    network = PictureCnn(1, size, 3, filters=(4, 4, 4))
    seen = []
    for layer in (network.stem, *network.down):
        layer.register_forward_hook(lambda _module, _args, output: seen.append(output.shape[-1]))
    for merge in network.up:
        merge.register_forward_hook(lambda _module, args, _output: seen.append(args[0].shape[-1]))
    network.head.register_forward_hook(lambda _module, args, _out: seen.append(args[0].shape[-1]))
    network(noise_pictures(1, 1, size))
    assert seen == sides


def test_maps_of_a_cnn_have_their_channels_last_in_memory() -> None:
    network = small_cnn(3, 32, 4)
    layouts = []

    def note(module: nn.Module, given: tuple[Tensor, ...], maps: Tensor) -> None:
        if len(maps) == 2 and min(maps.shape[1:]) > 1:  # of pictures, and not one map or pixel
            layouts.append(maps.is_contiguous(memory_format=torch.channels_last))

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(note)
    network(noise_pictures(2, 3, 32))
    assert len(layouts) > 5
    assert all(layouts)


def test_coarse_features_are_added_to_the_fine_ones_below_them() -> None:
    merge = PictureMerge(6, 4, attention=[])
    coarse, fine = torch.randn(2, 6, 3, 3), torch.randn(2, 4, 6, 6)
    inside: list[Tensor] = []
    merge.block.register_forward_hook(lambda _module, args, _output: inside.append(args[0]))
    merge(coarse, fine)
    added = merge.project(coarse).repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    torch.testing.assert_close(inside[0], fine + added)


@both_networks
def test_whole_and_broken_levels_read_alike(make: Callable[..., nn.Module]) -> None:
    network, pictures = make(2, 16, 5), noise_pictures(3, 2, 16)
    torch.testing.assert_close(network(pictures.float()), network(pictures))


@both_networks
def test_a_picture_is_judged_by_itself(make: Callable[..., nn.Module]) -> None:
    network, pictures = make(2, 32, 5), noise_pictures(6, 2, 32)
    together = network(pictures)
    torch.testing.assert_close(network(pictures[2:3]), together[2:3], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(network(pictures[3:]), together[3:], atol=1e-5, rtol=1e-4)


@both_networks
def test_the_same_seed_gives_the_same_network_and_result(make: Callable[..., nn.Module]) -> None:
    pictures, results = noise_pictures(3, 2, 32), []
    for _ in range(2):
        torch.manual_seed(7)
        results.append(make(2, 32, 5)(pictures))
    assert torch.equal(*results)


@both_networks
def test_every_pixel_of_every_channel_can_matter(make: Callable[..., nn.Module]) -> None:
    pictures = noise_pictures(2, 2, 64).float().requires_grad_()
    make(2, 64, 5)(pictures).square().sum().backward()
    assert pictures.grad is not None
    assert (pictures.grad != 0).float().mean() > 0.999


@both_networks
def test_one_small_batch_is_overfitted(make: Callable[..., nn.Module]) -> None:
    pictures, targets = noise_pictures(6, 2, 16), torch.randn(6, 5)
    assert fit(make(2, 16, 5), lambda: (pictures, targets), 100) < 1e-2


@pytest.mark.parametrize(("make", "num_steps"), [(small_cnn, 100), (small_transformer, 400)])
def test_the_place_of_a_blob_is_told_within_a_few_pixels(
    make: Callable[..., nn.Module], num_steps: int
) -> None:
    network = make(1, 64, 2)
    fit(network, lambda: blobs(16, 64), num_steps)
    network.eval()
    pictures, place = blobs(50, 64)
    with torch.no_grad():
        error = (network(pictures) - place).square().mean().sqrt().item()
    assert error < 4 * 2 / 64


@both_networks
def test_the_same_blob_elsewhere_reads_differently(make: Callable[..., nn.Module]) -> None:
    network, (pictures, _) = make(1, 64, 5), blobs(4, 64)
    assert not torch.allclose(network(pictures), network(pictures.roll(1, dims=3)), atol=1e-6)


@both_networks
def test_dropout_acts_in_training_only(make: Callable[..., nn.Module]) -> None:
    network, pictures = make(1, 32, 5, dropout=0.5), noise_pictures(3, 1, 32)
    assert not torch.allclose(network(pictures), network(pictures))
    network.eval()
    torch.testing.assert_close(network(pictures), network(pictures), atol=0, rtol=0)


@both_networks
def test_a_share_of_a_batch_loses_by_dropout_what_it_does_in_the_whole_batch(
    make: Callable[..., nn.Module],
) -> None:
    network, pictures = make(1, 32, 5, dropout=0.5), noise_pictures(5, 1, 32)
    dropouts = [module for module in network.modules() if isinstance(module, Dropout)]
    assert [dropout.probability for dropout in dropouts] == [0.5] * len(dropouts)
    # Of the head, and three of each layer of a transformer.
    assert len(dropouts) == (7 if isinstance(network, VisionTransformer) else 1)
    torch.manual_seed(0)
    whole = network(pictures)
    places = torch.tensor([3, 1])
    for dropout in dropouts:
        dropout.take_share(places, len(pictures))
    torch.manual_seed(0)
    torch.testing.assert_close(network(pictures[places]), whole[places])


@both_networks
def test_mixed_precision_gives_nearly_the_same_and_trains_all_parameters(
    make: Callable[..., nn.Module],
) -> None:
    network, pictures = make(2, 64, 5), noise_pictures(3, 2, 64)
    exact = network(pictures)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = network(pictures)
    torch.testing.assert_close(mixed.float(), exact, atol=0.05, rtol=0.05)
    (mixed * torch.randn_like(mixed)).float().sum().backward()
    assert parameters_without_gradient(network) == []


@both_networks
def test_weights_are_restored(make: Callable[..., nn.Module]) -> None:
    network, other, pictures = make(1, 32, 5), make(1, 32, 5), noise_pictures(3, 1, 32)
    other.load_state_dict(network.state_dict())
    torch.testing.assert_close(other(pictures), network(pictures), atol=0, rtol=0)


@pytest.mark.parametrize(
    ("option", "kind"),
    [("squeeze_excitation", ChannelAttention), ("spatial_attention", SpatialAttention)],
)
def test_an_attention_acts_in_every_block_unless_it_is_left_out(
    option: str, kind: type[nn.Module]
) -> None:
    network, without = small_cnn(1, 32, 5, **{option: True}), small_cnn(1, 32, 5)
    assert not any(isinstance(module, kind) for module in without.modules())
    pictures = noise_pictures(3, 1, 32)
    merges = [merge for merge in network.up if isinstance(merge, PictureMerge)]
    for block in (*network.down, *(merge.block for merge in merges)):
        before = network(pictures)
        (found,) = (module for module in block.modules() if isinstance(module, kind))
        found.register_forward_hook(lambda _module, args, _output: args[0])  # leaves it out
        assert not torch.allclose(network(pictures), before, atol=1e-4)


def test_channel_attention_weighs_channels_by_their_means() -> None:
    layer, x = ChannelAttention(6), torch.randn(2, 6, 5, 5)
    hidden = F.silu(layer.squeeze(x.mean(dim=(2, 3))))
    weights = torch.sigmoid(layer.excite(hidden))
    torch.testing.assert_close(layer(x), x * weights[:, :, None, None])
    shuffled = x.flatten(2)[:, :, torch.randperm(25)].view_as(x)
    torch.testing.assert_close(layer(shuffled) / shuffled, layer(x).div(x)[:, :, :1, :1] + 0 * x)


def test_spatial_attention_weighs_positions_alike_in_all_channels() -> None:
    layer, x = SpatialAttention(), torch.randn(2, 6, 9, 9)
    weights = layer(x) / x
    torch.testing.assert_close(weights, weights[:, :1].expand_as(x), atol=1e-5, rtol=1e-4)
    assert weights.min() > 0
    assert weights.max() < 1
    assert weights[0, 0].std() > 1e-3


def test_a_block_without_its_branch_averages_pixels() -> None:
    block = PictureBlock(4, 4, shrink=True, attention=[])
    last = block.branch[-1]
    assert isinstance(last, nn.Conv2d)
    nn.init.zeros_(last.weight)
    assert last.bias is not None
    nn.init.zeros_(last.bias)
    x = torch.randn(2, 4, 8, 8)
    torch.testing.assert_close(block(x), F.avg_pool2d(x, 2))


def test_the_head_keeps_positions_apart_and_small() -> None:
    head, x = GridHead(6, 20, 3, dropout=0.0), torch.randn(2, 6, 20, 20)
    assert head.last.in_features == 16 * 16 * 4
    assert head(x).shape == (2, 3)
    assert not torch.allclose(head(x), head(x.flip(3)))


@pytest.mark.parametrize(("image_size", "patch_size"), [(100, 16), (16, 16), (24, 16), (8, 16)])
def test_patches_that_do_not_tile_the_picture_are_refused(image_size: int, patch_size: int) -> None:
    with pytest.raises(ValueError, match=f"patch_size {patch_size} and image_size {image_size}"):
        VisionTransformer(1, image_size, 3, patch_size=patch_size)


def test_patches_talk_to_each_other() -> None:
    network = small_transformer(1, 64, 3)
    seen: list[Tensor] = []
    network.layers.register_forward_hook(lambda _module, _args, output: seen.append(output))
    pictures = noise_pictures(1, 1, 64)
    changed = pictures.clone()
    changed[..., :16, :16] = 255 - changed[..., :16, :16]  # the first patch
    network(pictures), network(changed)
    assert (seen[0] != seen[1]).any(dim=-1).all()


def test_patches_are_squares_of_the_picture_row_by_row() -> None:
    network = small_transformer(2, 64, 3)
    seen: list[Tensor] = []
    network.embed.register_forward_hook(lambda _module, args, _output: seen.append(args[0]))
    pictures = noise_pictures(1, 2, 64)
    network(pictures)
    square = scale_levels(pictures)[0, :, 16:32, 48:64]  # second row, fourth column
    torch.testing.assert_close(seen[0][0, 4 + 3], square.flatten())


def test_the_originals_transformer_has_two_layers_that_start_from_different_weights() -> None:
    network = VisionTransformer(3, 256, 5)
    assert network.positions.shape == (256, 64)
    first, second = (dict(layer.named_parameters()) for layer in network.layers)
    assert not torch.equal(first["linear1.weight"], second["linear1.weight"])
