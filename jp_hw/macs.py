"""Counts of tokens and multiply-accumulates that a JPnet keeps on real data.

A MAC is kept when its weight and its activation are both non-zero (in a dense network, any are) and
its output exists; counts are exact integers per image.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jp_hw import golden
from jp_hw.dense import convolve
from jp_hw.ir import Int, Layer, Network, Source, dense_macs

ANY = 65_535
"""More taps than a kernel has: all of a token's may lead beside the map."""
Beside = Mapping[str, int]
"""Layers that compute some of what lies beside their map, and of how many taps of a token, on a side:
tokens of which more lead beside it have none of that computed."""


@dataclass(frozen=True)
class LayerCount:
    """What one layer keeps, summed over a batch of `images`.

    executed: MACs with those beside the map, where a design takes cycles for them to save memory.
    """

    name: str
    images: int
    macs: int
    executed: int
    dense_macs: int
    tokens: int
    activations: int
    weights: int
    nonzero_weights: int

    @property
    def macs_per_image(self) -> float:
        """Mean of kept MACs per image."""
        return self.macs / self.images

    @property
    def macs_kept(self) -> float:
        """Kept share of the dense MACs."""
        return self.macs / (self.images * self.dense_macs)


def count(
    network: Network,
    images: np.ndarray,
    batch: int = 500,
    beside: Beside | None = None,
    computed: Network | None = None,
) -> list[LayerCount]:
    """Count per layer over images, integers (n, height, width, channels).

    beside: layers that also compute what is beside the map: that of `computed`, the same network with
    columns interleaved.
    """
    limits = beside or {}
    macs = np.zeros(len(network.layers), np.int64)
    every = np.zeros(len(network.layers), np.int64)
    tokens = np.zeros(len(network.layers), np.int64)
    for start in range(0, len(images), batch):
        values = golden.tensors(network, images[start : start + batch])
        for i, layer in enumerate(network.layers):
            for source in layer.sources:
                tokens[i] += np.count_nonzero(network.live(values[source.tensor]))
                own = values[source.tensor]
                macs[i] += int(kept(network, layer, source, own).sum())
        every += _executed(computed or network, images[start : start + batch], limits)
    every = np.where([layer.name in limits for layer in network.layers], every, macs)
    return [
        LayerCount(
            layer.name,
            len(images),
            int(macs[i]),
            int(every[i]),
            dense_macs(layer),
            int(tokens[i]),
            len(images) * sum(network.tensor_shape(s.tensor).size for s in layer.sources),
            sum(source.weights.size for source in layer.sources),
            sum(int(np.count_nonzero(network.live(s.weights))) for s in layer.sources),
        )
        for i, layer in enumerate(network.layers)
    ]


def _executed(network: Network, images: np.ndarray, beside: Beside) -> Int:
    """MACs of the layers that compute more than their map; 0 for the others."""
    found = np.zeros(len(network.layers), np.int64)
    values = golden.tensors(network, images) if beside else {}
    for i, layer in enumerate(network.layers):
        if layer.name in beside:
            for source in layer.sources:
                own = values[source.tensor]
                found[i] += executed(network, layer, source, own, beside[layer.name]).sum()
    return found


def margin(network: Network, layer: Layer) -> int:
    """Columns of sums beside the map that a layer's weights lead to, on the side with most of them."""
    most = 0
    for source in layer.sources:
        out = np.concatenate(_reached(network, source))
        if out.size:
            most = max(most, -int(out.min()), int(out.max()) - (layer.map.width - 1))
    return most


def _reached(network: Network, source: Source) -> list[Int]:
    """Columns of sums that taps lead to from every column of a source, beside the map, too."""
    x = np.arange(network.tensor_shape(source.tensor).width)[:, None] * source.spread
    tap = np.arange(source.weights.shape[3]) * source.dilation[1]
    out, rest = np.divmod(x + source.padding[1] - tap, source.stride[1])
    return [own[late == 0] for own, late in zip(out, rest, strict=True)]


def executed(network: Network, layer: Layer, source: Source, values: Int, beside: int) -> Int:
    """What one source of a layer makes its PEs do for every sum, beside the map, too.

    Returns int64 (n, height, width, channels), with `margin` columns more on both sides. beside: of
    tokens with no more taps than that beside the map, on either side, those MACs count, too.
    """
    more, width = margin(network, layer), layer.map.width
    whole: NDArray[np.bool_] = np.array(
        [
            max(np.count_nonzero(out < 0), np.count_nonzero(out >= width)) <= beside
            for out in _reached(network, source)
        ]
    )
    inside = kept(network, layer, source, values, columns=~whole)
    return kept(network, layer, source, values, more, whole) + np.pad(
        inside, ((0, 0), (0, 0), (more, more), (0, 0))
    )


def kept(
    network: Network,
    layer: Layer,
    source: Source,
    values: Int,
    more: int = 0,
    columns: NDArray[np.bool_] | None = None,
) -> Int:
    """Kept MACs of one source of a layer for every sum, int64 (n, height, width, channels).

    values: the source's tensor, (n, h, w, channels). A dense convolution of 0/1 maps counts exactly.
    Sums that no pooling window looks at are never computed, so they count 0.
    more: count so many columns of sums on both sides of the map, too. columns: bool (w,), those of the
    source whose tokens count, all unless given.
    """
    sent = network.live(values)
    result = convolve(
        (sent if columns is None else sent & columns[:, None]).astype(np.int64),
        network.live(source.weights).astype(np.int64),
        (layer.map.height, layer.map.width + 2 * more),
        source.stride,
        (source.padding[0], source.padding[1] + more * source.stride[1]),
        source.dilation,
        source.groups,
        source.spread,
    )
    if layer.pool is not None:
        rows, across = (
            np.isin(
                np.arange(layer.pool.size[axis]),
                [place for taps in layer.pool.taps(axis, outputs) for place in taps],
            )
            for axis, outputs in enumerate((layer.output.height, layer.output.width))
        )
        across = np.pad(across, more, constant_values=True)
        result = result * (rows[:, None] & across)[None, :, :, None]
    return result
