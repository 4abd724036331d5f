"""Which layer reads which channel, from the graph that torch.fx traces."""

from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from jp_hw.errors import JpHwError
from jp_hw.nn import Winner
from jp_hw.train.pruning import mask_of, per_input, refresh

PROBES = torch.tensor([-3.0, -0.5, 0.0, 0.25, 2.0])


class _Tracer(fx.Tracer):
    """Winners are leaves: what they do depends on their mode."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, Winner) or super().is_leaf_module(m, module_qualified_name)


@dataclass(frozen=True)
class Wiring:
    """The traced calls of a network, in processing order, and its modules by name."""

    nodes: tuple[fx.Node, ...]
    modules: dict[str, nn.Module]

    @classmethod
    def of(cls, model: nn.Module) -> "Wiring":
        """Trace a network; raise JpHwError where torch.fx cannot."""
        try:
            graph = _Tracer().trace(model)
        except Exception as error:
            reason = f"torch.fx cannot trace {type(model).__name__}: {error}"
            raise JpHwError(reason) from error
        return cls(tuple(graph.nodes), dict(model.named_modules()))

    def module(self, node: fx.Node) -> nn.Module | None:
        """The module that a node calls, None for a function."""
        return self.modules[str(node.target)] if node.op == "call_module" else None

    def front(self, layer: str) -> str | None:
        """The Winner whose output a layer reads, through pooling and reshaping only."""
        node = self._call(layer)
        while len(node.all_input_nodes) == 1:
            node = node.all_input_nodes[0]
            module = self.module(node)
            if isinstance(module, Winner):
                return str(node.target)
            if _has_weights(module):
                return None
        return None

    def chained(self, before: str, after: str) -> bool:
        """Whether scaling a channel of ``before`` scales just the same input of ``after``.

        So between the two there may be only positively homogeneous functions of single values,
        read by nothing else.
        """
        node, target = self._call(after), self._call(before)
        while len(node.all_input_nodes) == 1:
            node = node.all_input_nodes[0]
            if len(node.users) != 1:
                return False
            if node is target:
                return True
            if not _homogeneous(self.module(node)):
                return False
        return False

    def _call(self, name: str) -> fx.Node:
        for node in self.nodes:
            if node.op == "call_module" and node.target == name:
                return node
        raise JpHwError(f"layer {name} is never called by the network")


def _has_weights(module: nn.Module | None) -> bool:
    return isinstance(module, nn.Linear | nn.Conv2d)


def _homogeneous(module: nn.Module | None) -> bool:
    """Whether f(s x) = s f(x) for s > 0, value by value; Winners are left to the caller."""
    if isinstance(module, Winner | nn.Dropout | nn.Identity):
        return True
    if module is None or list(module.children()) or isinstance(module, nn.Linear | nn.Conv2d):
        return False
    if next(module.buffers(), None) is not None or isinstance(module, nn.Flatten):
        return False
    with torch.no_grad():
        return torch.allclose(module(4.0 * PROBES), 4.0 * module(PROBES), rtol=1e-5)


def used_channels(wiring: Wiring) -> dict[str, Tensor]:
    """Per weight layer: which of its output channels can reach the result, bool (channels,).

    A channel is used if a used output channel of a later layer has a surviving weight for it, on
    whatever way: pooling, flattening, sums. What an unknown function reads counts as used.
    """
    channels = _channels(wiring)
    used: dict[fx.Node, Tensor | None] = {}  # None: every channel; missing: none
    found: dict[str, Tensor] = {}
    for node in reversed(wiring.nodes):
        module, count = wiring.module(node), channels.get(node)
        mine = None if node.op == "output" else used.get(node, torch.zeros(count or 1).bool())
        if isinstance(module, nn.Linear | nn.Conv2d):
            live = torch.ones(len(module.weight)).bool() if mine is None else mine
            found[str(node.target)] = live
            keep = (_mask(module) != 0) & live.reshape(-1, *[1] * (module.weight.dim() - 1))
            mine = per_input(keep.float(), module) > 0
        for source in node.all_input_nodes:
            more = _of_source(mine, channels.get(source))
            before = used.get(source, more)
            used[source] = None if more is None or before is None else before | more
    return found


def remove_dead(model: nn.Module, layers: dict[str, nn.Module]) -> int:
    """Prune what cannot reach an output, whole dead paths at once; return how many weights.

    ``layers``: those that may be pruned, with masks attached.
    """
    removed = 0
    for name, used in used_channels(Wiring.of(model)).items():
        if name in layers:
            mask = mask_of(layers[name])
            useless = mask * (~used).float().reshape(-1, *[1] * (mask.dim() - 1))
            removed += int(useless.sum())
            mask.sub_(useless)
    refresh(layers)
    return removed


def _mask(module: nn.Linear | nn.Conv2d) -> Tensor:
    """A layer's mask, or where its weights are not zero."""
    mask = getattr(module, "weight_mask", None)
    return mask if isinstance(mask, Tensor) else (module.weight != 0).float()


def _channels(wiring: Wiring) -> dict[fx.Node, int | None]:
    """Channels (or features) of every call's result; None where they are not known."""
    found: dict[fx.Node, int | None] = {}
    for node in wiring.nodes:
        module = wiring.module(node)
        if isinstance(module, nn.Linear):
            found[node] = module.out_features
        elif isinstance(module, nn.Conv2d):
            found[node] = module.out_channels
        elif node.all_input_nodes:
            found[node] = found.get(node.all_input_nodes[0])  # of a flattened map: the map's
        else:
            found[node] = None
    return found


def _of_source(mine: Tensor | None, channels: int | None) -> Tensor | None:
    """What of a source's channels is used where ``mine`` of its reader is; None: everything."""
    if mine is None or channels is None or len(mine) % channels:
        return None
    return mine.reshape(channels, -1).any(1)  # a flattened map: a channel's features in a row
