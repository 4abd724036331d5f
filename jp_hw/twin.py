"""The dense twin of a network: the same layers on the same kind of array, with nothing skipped.

It stores zero weights too, sends zero activations too and has no thresholds, so every MAC of a dense
inference that lies on the map is executed. Beside the network itself, in one run, it shows what
skipping is worth; beside a network without zeros, what the support for skipping costs.
"""

from dataclasses import replace

from jp_hw.ir import Layer, Network


def dense_twin(network: Network) -> Network:
    """A network of the same weights that skips nothing.

    Without thresholds its logits are its own: activations below them count as what they are.
    """
    return replace(
        network,
        name=f"{network.name}-dense",
        input=replace(network.input, theta=0),
        layers=tuple(_without_threshold(layer) for layer in network.layers),
        dense=True,
    )


def _without_threshold(layer: Layer) -> Layer:
    rule = layer.requantize
    return layer if rule is None else replace(layer, requantize=replace(rule, theta=0))
