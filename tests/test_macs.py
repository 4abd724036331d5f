"""Counts of kept work, against loops over every product."""

from dataclasses import replace

import numpy as np
import pytest
from networks import every_kind, mlp

from jp_hw import golden
from jp_hw.ir import Input, Int, Layer, Network, Shape, Source
from jp_hw.macs import ANY, LayerCount, count, kept
from jp_hw.twin import dense_twin

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


def looked_at(layer: Layer) -> Int:
    """1 for every sum that some pooling window contains, (height, width)."""
    found = np.ones((layer.map.height, layer.map.width), np.int64)
    if layer.pool is not None:
        found[:] = 0
        for y, x in np.ndindex(layer.output.height, layer.output.width):
            top, left = (
                at * layer.pool.stride[i] - layer.pool.padding[i] for i, at in enumerate((y, x))
            )
            found[
                max(top, 0) : top + layer.pool.window[0], max(left, 0) : left + layer.pool.window[1]
            ] = 1
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_counts_equal_a_count_of_single_products(kind: str) -> None:
    network = KINDS[kind]
    tensors = golden.tensors(network, network.samples)
    counts = count(network, network.samples, batch=3)
    images = len(network.samples)
    for layer, result in zip(network.layers, counts, strict=True):
        macs = 0
        for source in layer.sources:
            values = tensors[source.tensor]
            expected = products(source, values, layer.map) * looked_at(layer)[:, :, None]
            assert np.array_equal(kept(network, layer, source, values), expected)
            macs += int(expected.sum())
        read = [tensors[source.tensor] for source in layer.sources]
        assert result == LayerCount(
            name=layer.name,
            images=images,
            macs=macs,
            executed=macs,
            dense_macs=layer.map.height
            * layer.map.width
            * sum(source.weights.size for source in layer.sources),
            tokens=sum(int((values != 0).sum()) for values in read),
            activations=sum(values.size for values in read),
            weights=sum(source.weights.size for source in layer.sources),
            nonzero_weights=sum(int((source.weights != 0).sum()) for source in layer.sources),
        )
        assert result.macs_per_image == macs / images
        assert 0 < result.macs_kept < 1


def executed(source: Source, layer: Layer, values: Int, beside: int) -> int:
    """Products of the sums that a layer computes, and in the same rows of those beside its map, of
    tokens with so many taps there at most."""
    seen = looked_at(layer)
    rows, columns = seen.any(axis=1), seen.any(axis=0)
    per_in, per_out = source.weights.shape[1], layer.map.channels // source.groups
    found = 0
    left, right = np.zeros((2, values.shape[2]), np.int64)
    for column, j in np.ndindex(values.shape[2], source.weights.shape[3]):
        x, late = divmod(column + source.padding[1] - j * source.dilation[1], source.stride[1])
        left[column] += not late and x < 0
        right[column] += not late and x >= layer.map.width
    whole = np.maximum(left, right) <= beside
    for k, c, i, j in np.argwhere(source.weights):
        channel = k // per_out * per_in + c
        for row, column in np.ndindex(values.shape[1:3]):
            y, late = divmod(row + source.padding[0] - i * source.dilation[0], source.stride[0])
            x, x_late = divmod(
                column + source.padding[1] - j * source.dilation[1], source.stride[1]
            )
            if late or x_late or not 0 <= y < layer.map.height or not rows[y]:
                continue
            if columns[x] if 0 <= x < layer.map.width else whole[column]:
                found += int((values[:, row, column, channel] != 0).sum())
    return found


@pytest.mark.parametrize("kind", ["stride and padding", "dilation", "residual", "pooled"])
@pytest.mark.parametrize("beside", [1, ANY])
def test_layers_also_execute_what_lies_beside_the_map(kind: str, beside: int) -> None:
    network = KINDS[kind]
    tensors = golden.tensors(network, network.samples)
    limits = {layer.name: beside for layer in network.layers}
    more = 0
    for layer, result in zip(
        network.layers, count(network, network.samples, beside=limits), strict=True
    ):
        assert result.executed == sum(
            executed(source, layer, tensors[source.tensor], beside) for source in layer.sources
        )
        more += result.executed - result.macs
    assert more > 0


@pytest.mark.parametrize("beside", [1, ANY])
def test_dense_layers_execute_every_mac_beside_the_map(beside: int) -> None:
    network = KINDS["stride and padding"]
    dense = dense_twin(network)
    tensors = {name: np.ones_like(v) for name, v in golden.tensors(dense, dense.samples).items()}
    full = [
        replace(
            layer, sources=tuple(replace(s, weights=np.ones_like(s.weights)) for s in layer.sources)
        )
        for layer in dense.layers
    ]
    counts = count(dense, dense.samples, beside={layer.name: beside for layer in dense.layers})
    for layer, result in zip(full, counts, strict=True):
        assert result.executed == sum(
            executed(source, layer, tensors[source.tensor], beside) for source in layer.sources
        )


def test_a_pool_that_skips_rows_saves_their_products() -> None:
    (layer,) = (layer for layer in KINDS["pooled"].layers if layer.name == "two")
    assert looked_at(layer).tolist() == [[1, 0, 1, 1, 0]] * 1 + [[0] * 5] + [[1, 0, 1, 1, 0]] + [
        [0] * 5
    ] + [[1, 0, 1, 1, 0]]


def test_products_that_cancel_are_counted() -> None:
    source = Source("input", np.array([3, -3]).reshape(1, 2, 1, 1))
    layer = Layer("a", (source,), np.zeros(1, np.int64), Shape(1, 1, 1), None)
    ones = np.ones((1, 1, 1, 2), np.int64)
    network = Network("cancels", Input(Shape(1, 1, 2)), (layer,), ones)
    assert kept(network, layer, source, ones).tolist() == [[[[2]]]]


def test_values_below_the_input_threshold_are_not_counted() -> None:
    network = mlp(4, (16, 5, 3), leaky=True)
    assert network.input.theta == 5
    images = np.full((1, 1, 1, 16), 4)
    assert (count(network, images)[0].tokens, count(network, images)[0].macs) == (0, 0)
    assert count(network, images + 1)[0].tokens == 16


def test_batches_change_nothing() -> None:
    network = KINDS["groups"]
    assert count(network, network.samples, batch=1) == count(network, network.samples, batch=500)
