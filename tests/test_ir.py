"""The integer network: what `verify` refuses, and the file that holds a network."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from networks import Convolution, chain, every_kind, mlp, with_layers
from random_networks import networks
from safetensors.numpy import load as read_arrays
from safetensors.numpy import save as pack

from jp_hw import golden, ir_file
from jp_hw.errors import JpHwError
from jp_hw.ir import INPUT, Input, Layer, Network, Pool, Requantize, Shape, dense_macs

NETWORK = mlp(3, (8, 6, 4))
FIRST, LAST = NETWORK.layers


def first(**changes: Any) -> Network:
    return with_layers(NETWORK, replace(FIRST, **changes), LAST)


def source(**changes: Any) -> Network:
    return first(sources=(replace(FIRST.sources[0], **changes),))


def rule(**changes: Any) -> Network:
    assert FIRST.requantize is not None
    return first(requantize=replace(FIRST.requantize, **changes))


def network(**changes: Any) -> Network:
    return replace(NETWORK, **changes)


def pooling(**changes: Any) -> Network:
    """2x2 sums of layer0, whose pool would start beyond them."""
    rule_ = {"size": (2, 2), "window": (1, 1), "stride": (1, 1), "padding": (0, 0)} | changes
    pool = Pool(**rule_)
    return first(pool=pool, output=Shape(1, 1, 6) if pool.size != (1, 1) else Shape(1, 2, 6))


def table(entries: np.ndarray, high: int = 3) -> Network:
    return rule(low=0, high=high, table=entries)


WEIGHTS = FIRST.sources[0].weights
FAULTS: dict[str, Callable[[], object]] = {
    "has no layers": lambda: network(layers=()),
    r"0x1x8 is empty: every size must be >= 1": lambda: Shape(0, 1, 8),
    r"input theta -1 is outside 0\.\.255": lambda: network(input=Input(Shape(1, 1, 8), theta=-1)),
    r"input theta 256 is outside": lambda: network(input=Input(Shape(1, 1, 8), theta=256)),
    r"samples have shape \(4, 8\), expected \(n >= 1, 1, 1, 8\)": lambda: network(
        samples=NETWORK.samples.reshape(4, 8)
    ),
    r"samples have shape \(0, 1, 1, 8\)": lambda: network(samples=NETWORK.samples[:0]),
    r"samples leave the input's range 0\.\.255": lambda: network(samples=NETWORK.samples + 200),
    r"range -128\.\.127": lambda: network(
        input=Input(Shape(1, 1, 8), signed=True), samples=np.full((1, 1, 1, 8), 128)
    ),
    "samples are float64, not integers": lambda: network(samples=NETWORK.samples * 1.0),
    "layer name '../x' cannot name files": lambda: first(name="../x"),
    "two tensors are called layer1": lambda: first(name="layer1"),
    "two tensors are called input": lambda: first(name=INPUT),
    "layer layer0 has no source": lambda: first(sources=()),
    r"layer layer0: 9-bit weights; 2\.\.8 are supported": lambda: first(weight_bits=9),
    "1-bit weights": lambda: first(weight_bits=1),
    r"bias of shape \(5,\), not \(6,\)": lambda: first(bias=FIRST.bias[:5]),
    "biases are float64": lambda: first(bias=FIRST.bias / 2),
    "layer layer0, source absent: no earlier tensor": lambda: source(tensor="absent"),
    "source layer1: no earlier tensor": lambda: source(tensor="layer1"),
    r"weights of shape \(6, 8\); 4 sizes": lambda: source(weights=WEIGHTS[:, :, 0, 0]),
    r"weights of shape \(6, 8, 0, 1\)": lambda: source(weights=WEIGHTS[:, :, :0]),
    "weights are float64": lambda: source(weights=WEIGHTS / 2),
    "5 output channels in 1 groups do not fit": lambda: source(weights=WEIGHTS[:5]),
    "6 output channels in 4 groups do not fit": lambda: source(groups=4),
    "6 output channels in 0 groups do not fit": lambda: source(groups=0),
    "weights for 16 channels on 1x1x8": lambda: source(groups=2),
    r"weights exceed \+-127 \(8 bit, symmetric\)": lambda: source(
        weights=np.where(WEIGHTS == 127, -128, WEIGHTS)
    ),
    r"weights exceed \+-7 \(4 bit, symmetric\)": lambda: first(weight_bits=4),
    "stride and dilation must be >= 1": lambda: source(stride=(1, 0)),
    "dilation must be >= 1": lambda: source(dilation=(0, 1)),
    "padding >= 0": lambda: source(padding=(0, -1)),
    "layer layer0: the last layer, and no other": lambda: first(requantize=None),
    "layer layer1: the last layer, and no other": lambda: with_layers(
        NETWORK, FIRST, replace(LAST, requantize=Requantize(np.ones(4, int), np.ones(4, int), 1, 0, 255))
    ),
    "must end in 1x1 logits, not 1x2x4": lambda: with_layers(
        NETWORK, FIRST, replace(LAST, output=Shape(1, 2, 4))
    ),
    r"multipliers must be 0\.\.131071, one per channel": lambda: rule(multiplier=np.full(6, 1 << 17)),
    "layer0: multipliers must be": lambda: rule(negative=np.full(6, -1)),
    "one per channel": lambda: rule(multiplier=np.ones(5, np.int64)),
    "multipliers are float64": lambda: rule(multiplier=np.ones(6)),
    r"shift 0 is outside 1\.\.40": lambda: rule(shift=0),
    "shift 41 is outside": lambda: rule(shift=41),
    r"range 0\.\.256 is not 8 bit": lambda: rule(high=256),
    r"range 1\.\.255 is not 8 bit": lambda: rule(low=1),
    r"range -129\.\.127 is not 8 bit": lambda: rule(low=-129, high=127),
    r"range -1\.\.255 is not 8 bit": lambda: rule(low=-1),
    r"range 0\.\.0 is not 8 bit": lambda: rule(high=0),
    "theta must be >= 0": lambda: rule(theta=-1),
    "layer unread: no later layer reads it; leave it out": lambda: with_layers(
        NETWORK, FIRST, replace(FIRST, name="unread"), LAST
    ),
    "layer layer0: a pooling window lies outside the map of 1x1x6": lambda: pooling(size=(1, 1)),
    "a pool's sizes must be >= 1, its padding >= 0": lambda: pooling(stride=(0, 1)),
    "its padding >= 0": lambda: pooling(padding=(-1, 0)),
    "layer layer0: a pool's sizes must": lambda: pooling(window=(1, 0)),
    r"a table of shape \(3,\) for 4 indices; at most 1024": lambda: table(np.arange(3)),
    r"a table of shape \(2048,\) for 2048 indices": lambda: table(np.zeros(2048, np.int64), 2047),
    "the table of activations falls somewhere": lambda: table(np.array([0, 2, 1, 3])),
    "table entries are float64": lambda: table(np.arange(4) / 2),
    r"range 0\.\.256 is not 8 bits?": lambda: table(np.array([0, 1, 2, 256])),
    r"range -129\.\.0 is not 8 bit": lambda: table(np.array([-129, -4, -3, -2])),
}  # fmt: skip


@pytest.mark.parametrize("message", FAULTS)
def test_verify_names_the_fault(message: str) -> None:
    with pytest.raises(JpHwError, match=message) as caught:
        FAULTS[message]()
    assert "\n" not in str(caught.value)


def test_shapes_limits_and_sizes() -> None:
    net = chain(1, Shape(4, 6, 2), (Convolution(3, stride=(1, 2), padding=(1, 0)),), classes=5)
    assert net.classes == 5
    assert [net.tensor_shape(name) for name in (INPUT, "layer0", "layer1")] == [
        Shape(4, 6, 2),
        Shape(4, 2, 3),
        Shape(1, 1, 5),
    ]
    assert net.tensor_limits(INPUT) == (0, 255)
    assert Input(Shape(1, 1, 1), signed=True).limits == (-128, 127)
    with pytest.raises(JpHwError, match="tensor layer1 is not requantized"):
        net.tensor_limits("layer1")
    # 4x2 positions of 3x3x2 taps to 3 channels; 1 position of 4x2x3 taps to 5 channels
    assert [dense_macs(layer) for layer in net.layers] == [8 * 18 * 3, 24 * 5]
    assert net.dense_macs == 432 + 120


@pytest.mark.parametrize(
    ("low", "high", "bits"), [(0, 255, 8), (0, 1, 1), (-128, 127, 8), (-8, 7, 4), (-128, 1, 8)]
)
def test_bits_of_an_activation_hold_both_ends(low: int, high: int, bits: int) -> None:
    ones = np.ones(1, np.int64)
    assert Requantize(ones, ones, 1, low, high).bits == bits


def test_layer_limits_are_reached_and_never_passed() -> None:
    net = chain(5, Shape(4, 4, 2), (Convolution(3, padding=(1, 1)),), signed=True)
    low, high = net.layer_limits(net.layers[0])
    weights = net.layers[0].sources[0].weights
    # the image that is worst for one channel: every value as extreme as its weight wants
    for k in range(3):
        wanted = np.where(weights[k] > 0, 127, -128).transpose(1, 2, 0)[None]
        top = int((weights[k] * wanted[0].transpose(2, 0, 1)).sum())
        wanted = np.where(weights[k] > 0, -128, 127).transpose(1, 2, 0)[None]
        bottom = int((weights[k] * wanted[0].transpose(2, 0, 1)).sum())
        assert (bottom, top) == (low[k], high[k])


# --- the file ----------------------------------------------------------------------------------


def same(a: Network, b: Network) -> bool:
    """Equal in every field and array."""
    meta, arrays = ir_file.dump(a)
    other_meta, other_arrays = ir_file.dump(b)
    return (
        meta == other_meta
        and list(arrays) == list(other_arrays)
        and all(np.array_equal(arrays[name], other_arrays[name]) for name in arrays)
    )


@pytest.mark.parametrize("kind", every_kind())
def test_round_trip(kind: str, tmp_path: Path) -> None:
    net = replace(every_kind()[kind], notes={"dataset": "x", "epochs": 3}, logit_scale=0.125)
    path = tmp_path / "net.safetensors"
    ir_file.save(net, path)
    loaded = ir_file.load(path)
    assert same(net, loaded)
    assert ir_file.digest(loaded) == ir_file.digest(net)
    assert np.array_equal(golden.run(loaded, net.samples), golden.run(net, net.samples))
    assert names(tmp_path) == ["net.safetensors"]
    assert not same(net, mlp(99))


@settings(max_examples=60, derandomize=True, deadline=None)
@given(networks())
def test_any_network_survives_its_file(network: Network) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ir_file.save(network, Path(folder) / "network.safetensors")
        loaded = ir_file.load(Path(folder) / "network.safetensors")
    assert same(network, loaded)
    assert ir_file.digest(loaded) == ir_file.digest(network)


def bump(array: np.ndarray) -> np.ndarray:
    """One element changed by one."""
    changed = array.copy()
    changed.flat[0] += 1 if changed.flat[0] <= 0 else -1
    return changed


DECIDES: dict[str, Callable[[Network], Network]] = {
    "weight": lambda n: source(weights=bump(WEIGHTS)),
    "bias": lambda n: first(bias=bump(FIRST.bias)),
    "multiplier": lambda n: rule(multiplier=bump(FIRST.requantize.multiplier)),
    "negative": lambda n: rule(negative=bump(FIRST.requantize.negative)),
    "shift": lambda n: rule(shift=FIRST.requantize.shift + 1),
    "theta": lambda n: rule(theta=FIRST.requantize.theta + 1),
    "high": lambda n: rule(high=127),
    "input theta": lambda n: replace(n, input=replace(n.input, theta=2)),
    "layer names": lambda n: with_layers(
        n, replace(FIRST, name="a"), replace(LAST, sources=(replace(LAST.sources[0], tensor="a"),))
    ),
    "padding": lambda n: source(padding=(1, 0)),
    "table": lambda n: rule(low=0, high=3, table=np.arange(4)),
    "another table": lambda n: rule(low=0, high=3, table=np.array([0, 1, 2, 4])),
    "pool": lambda n: first(pool=Pool((2, 1), (1, 1), (2, 1))),
    "larger pool": lambda n: first(pool=Pool((2, 1), (2, 1), (2, 1))),
    "last layer's bias": lambda n: with_layers(n, FIRST, replace(LAST, bias=bump(LAST.bias))),
}  # fmt: skip


def test_the_digest_is_of_what_decides_the_logits() -> None:
    digests = {name: ir_file.digest(change(NETWORK)) for name, change in DECIDES.items()}
    digests["unchanged"] = ir_file.digest(NETWORK)
    assert len(set(digests.values())) == len(digests)
    other = replace(
        NETWORK, name="other", notes={"a": 1}, samples=NETWORK.samples[:2], logit_scale=7.0
    )
    assert ir_file.digest(other) == digests["unchanged"]
    assert ir_file.digest(source(weights=WEIGHTS.astype(np.int8))) == digests["unchanged"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "net.safetensors"
    ir_file.save(NETWORK, path)
    return path


def refused(path: Path, match: str = "damaged") -> None:
    with pytest.raises(JpHwError, match=match) as caught:
        ir_file.load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    assert "jp-hw generate" in message


def rewrite(path: Path, change: Callable[[dict[str, Any], dict[str, np.ndarray]], object]) -> None:
    """Change the description and the arrays of a file."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])["__metadata__"]
    meta, arrays = json.loads(header["network"]), read_arrays(data)
    change(meta, arrays)
    path.write_bytes(pack(arrays, metadata={**header, "network": json.dumps(meta, sort_keys=True)}))


def test_rewrite_without_a_change_is_accepted(saved: Path) -> None:
    rewrite(saved, lambda meta, arrays: None)
    assert same(ir_file.load(saved), NETWORK)
    assert len({ir_file.to_bytes(NETWORK) for _ in range(20)}) == 1


def test_files_that_are_none(tmp_path: Path) -> None:
    refused(tmp_path / "absent.safetensors", "no network file")
    refused(tmp_path, "no network file")
    empty = tmp_path / "empty.safetensors"
    empty.write_bytes(b"")
    refused(empty, "damaged or no safetensors file")
    text = tmp_path / "text.safetensors"
    text.write_text("hello, this is no network at all")
    refused(text, "damaged or no safetensors file")
    foreign = tmp_path / "foreign.safetensors"
    foreign.write_bytes(pack({"w": np.zeros(3, np.float32)}))
    refused(foreign, "not a jp_hw network")


def test_descriptions_and_arrays_that_do_not_fit(saved: Path) -> None:
    data = saved.read_bytes()
    cases: list[tuple[str, Callable[[dict[str, Any], dict[str, Any]], object]]] = [
        ("field surprise: Extra inputs", lambda meta, arrays: meta.update(surprise=1)),
        (r"field layers\.0\.turbo", lambda meta, arrays: meta["layers"][0].update(turbo=1)),
        ("field format", lambda meta, arrays: meta.update(format="jp_hw-network-2")),
        ("field name", lambda meta, arrays: meta.pop("name")),
        (r"field input\.theta", lambda meta, arrays: meta["input"].update(theta="many")),
        ("lacks the array 'layer0/weights0'", lambda meta, arrays: arrays.pop("layer0/weights0")),
        ("lacks the array 'samples'", lambda meta, arrays: arrays.pop("samples")),
        ("checksum", lambda meta, arrays: arrays.update(more=np.zeros(2, np.int8))),
        ("checksum", lambda meta, arrays: meta["input"].update(theta=2)),
    ]  # fmt: skip
    for message, change in cases:
        saved.write_bytes(data)
        rewrite(saved, change)
        refused(saved, message)


def test_an_impossible_network_in_a_file_is_refused(saved: Path) -> None:
    rewrite(saved, lambda meta, arrays: meta["layers"][0].update(weight_bits=9))
    with pytest.raises(JpHwError, match="9-bit weights"):
        ir_file.load(saved)


def test_flipped_bits_and_cuts_are_noticed(saved: Path) -> None:
    """An error of ours; only in the blanks between the parts may a bit change nothing."""
    data = saved.read_bytes()
    rng = np.random.default_rng(7)
    for place in range(0, len(data), 3):
        broken = bytearray(data)
        broken[place] ^= 1 << int(rng.integers(8))
        saved.write_bytes(broken)
        try:
            assert same(ir_file.load(saved), NETWORK)
        except JpHwError as error:
            assert "\n" not in str(error)
        else:
            assert chr(data[place]).isspace(), place
    for cut in range(0, len(data), 97):
        saved.write_bytes(data[:cut])
        refused(saved)


def test_nothing_is_left_when_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(JpHwError, match=r"cannot write .*No such file or directory"):
        ir_file.save(NETWORK, tmp_path / "absent" / "net.safetensors")
    (tmp_path / "folder").mkdir()
    with pytest.raises(JpHwError, match="cannot write"):
        ir_file.save(NETWORK, tmp_path / "folder")
    assert names(tmp_path) == ["folder"]

    path = tmp_path / "net.safetensors"
    ir_file.save(NETWORK, path)
    before = path.read_bytes()

    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(JpHwError, match="No space left on device"):
        ir_file.save(mlp(9), path)
    assert path.read_bytes() == before
    assert names(tmp_path) == ["folder", "net.safetensors"]


def test_layer_names_may_hold_dots_and_digits() -> None:
    layer: Layer = replace(FIRST, name="0.conv")
    last = replace(LAST, sources=(replace(LAST.sources[0], tensor="0.conv"),))
    assert with_layers(NETWORK, layer, last).tensor_shape("0.conv") == FIRST.output
