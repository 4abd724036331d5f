"""Counts of kept work, against loops over every product."""

import numpy as np
import pytest
from networks import every_kind, mlp

from jp_hw import golden
from jp_hw.ir import Int, Shape, Source
from jp_hw.macs import LayerCount, count, kept

KINDS = every_kind()


def products(source: Source, values: Int, output: Shape) -> Int:
    """Non-zero products of every output, counted one at a time."""
    found = np.zeros((len(values), output.height, output.width, output.channels), np.int64)
    per_in, per_out = source.weights.shape[1], output.channels // source.groups
    for k, c, i, j in np.argwhere(source.weights):
        for y, x in np.ndindex(output.height, output.width):
            row = y * source.stride[0] - source.padding[0] + i * source.dilation[0]
            column = x * source.stride[1] - source.padding[1] + j * source.dilation[1]
            if 0 <= row < values.shape[1] and 0 <= column < values.shape[2]:
                found[:, y, x, k] += values[:, row, column, k // per_out * per_in + c] != 0
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_counts_equal_a_count_of_single_products(kind: str) -> None:
    network = KINDS[kind]
    tensors = golden.tensors(network, network.samples)
    counts = count(network, network.samples, batch=3)
    for layer, result in zip(network.layers, counts, strict=True):
        (source,) = layer.sources
        values = tensors[source.tensor]
        expected = products(source, values, layer.output)
        assert np.array_equal(kept(source, values, layer.output), expected)
        assert result == LayerCount(
            name=layer.name,
            images=4,
            macs=int(expected.sum()),
            dense_macs=layer.output.height * layer.output.width * source.weights.size,
            tokens=int((values != 0).sum()),
            activations=values.size,
            weights=source.weights.size,
            nonzero_weights=int((source.weights != 0).sum()),
        )
        assert result.macs_per_image == int(expected.sum()) / 4
        assert 0 < result.macs_kept < 1


def test_products_that_cancel_are_counted() -> None:
    source = Source("input", np.array([3, -3]).reshape(1, 2, 1, 1))
    assert kept(source, np.ones((1, 1, 1, 2), np.int64), Shape(1, 1, 1)).tolist() == [[[[2]]]]


def test_values_below_the_input_threshold_are_not_counted() -> None:
    network = mlp(4, (16, 5, 3), leaky=True)
    assert network.input.theta == 5
    images = np.full((1, 1, 1, 16), 4)
    assert (count(network, images)[0].tokens, count(network, images)[0].macs) == (0, 0)
    assert count(network, images + 1)[0].tokens == 16


def test_batches_change_nothing() -> None:
    network = KINDS["groups"]
    assert count(network, network.samples, batch=1) == count(network, network.samples, batch=500)
