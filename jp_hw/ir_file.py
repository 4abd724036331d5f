"""Integer networks on disk: one safetensors file, arrays plus a JSON description in its header."""

import hashlib
import json
import os
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as serialize

from jp_hw.errors import JpHwError
from jp_hw.ir import Input, Int, Layer, Network, Pool, Requantize, Shape, Source

FORMAT = "jp_hw-network-1"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=False, frozen=True)


class _Shape(_Record):
    height: int
    width: int
    channels: int


class _Input(_Record):
    shape: _Shape
    signed: bool
    theta: int
    scale: float


class _Source(_Record):
    tensor: str
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int


class _Requantize(_Record):
    shift: int
    low: int
    high: int
    theta: int
    table: bool = False


class _Pool(_Record):
    size: tuple[int, int]
    window: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]


class _Layer(_Record):
    name: str
    sources: tuple[_Source, ...]
    output: _Shape
    requantize: _Requantize | None
    weight_bits: int
    pool: _Pool | None = None


class _Network(_Record):
    format: Literal["jp_hw-network-1"]
    name: str
    input: _Input
    layers: tuple[_Layer, ...]
    logit_scale: float
    notes: dict[str, object]
    sha256: str
    dense: bool = False


def _fields(record: type[_Record], value: object) -> dict[str, object]:
    """The scalar fields of `record`, read off a dataclass of the same field names."""
    return {
        name: getattr(value, name)
        for name in record.model_fields
        if name not in ("shape", "output", "sources", "requantize", "table")
    }


def _shape(shape: Shape) -> dict[str, int]:
    return {"height": shape.height, "width": shape.width, "channels": shape.channels}


def _requantize(rule: Requantize | None) -> dict[str, object] | None:
    if rule is None:
        return None
    return {**_fields(_Requantize, rule), "table": rule.table is not None}


def dump(network: Network) -> tuple[dict[str, object], dict[str, Int]]:
    """Split a network into a JSON-able description and named int64 arrays."""
    arrays: dict[str, Int] = {"samples": network.samples}
    layers = []
    for layer in network.layers:
        arrays[f"{layer.name}/bias"] = layer.bias
        for i, source in enumerate(layer.sources):
            arrays[f"{layer.name}/weights{i}"] = source.weights
        if layer.requantize is not None:
            arrays[f"{layer.name}/multiplier"] = layer.requantize.multiplier
            arrays[f"{layer.name}/negative"] = layer.requantize.negative
            if layer.requantize.table is not None:
                arrays[f"{layer.name}/table"] = layer.requantize.table
        layers.append(
            {
                "name": layer.name,
                "weight_bits": layer.weight_bits,
                "output": _shape(layer.output),
                "sources": [_fields(_Source, source) for source in layer.sources],
                "requantize": _requantize(layer.requantize),
                "pool": None if layer.pool is None else _fields(_Pool, layer.pool),
            }
        )
    meta: dict[str, object] = {
        "format": FORMAT,
        "name": network.name,
        "input": {"shape": _shape(network.input.shape), **_fields(_Input, network.input)},
        "layers": layers,
        "logit_scale": network.logit_scale,
        "notes": dict(network.notes),
        **({"dense": True} if network.dense else {}),
    }
    return meta, arrays


def digest(network: Network) -> str:
    """SHA-256, in hexadecimal, over everything that decides the hardware's work and its logits (names
    and notes do not)."""
    meta, arrays = dump(network)
    arrays.pop("samples")
    parts = [meta["input"], meta["layers"], *(["dense"] if network.dense else [])]
    return _hash(json.dumps(parts, sort_keys=True), arrays)


def _hash(text: str, arrays: dict[str, Int]) -> str:
    hasher = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        hasher.update(f"{name}{arrays[name].shape}".encode())
        hasher.update(arrays[name].astype("<i8").tobytes())
    return hasher.hexdigest()


def to_bytes(network: Network) -> bytes:
    """The file of a network."""
    meta, arrays = dump(network)
    packed = {name: np.ascontiguousarray(_narrow(array)) for name, array in arrays.items()}
    meta["sha256"] = _hash(json.dumps(meta, sort_keys=True), arrays)
    return serialize(packed, metadata={"network": json.dumps(meta, sort_keys=True)})


def save(network: Network, path: Path) -> None:
    """Write a network; the file appears whole or not at all. Raises JpHwError if it cannot."""
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(to_bytes(network))
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise JpHwError(f"cannot write {path}: {error.strerror}") from error


def _narrow(array: Int) -> np.ndarray:
    for dtype in (np.int8, np.int16, np.int32):
        info = np.iinfo(dtype)
        if array.size and array.min() >= info.min and array.max() <= info.max:
            return array.astype(dtype)
    return array


def load(path: Path) -> Network:
    """Read a network written by `save`; raise JpHwError for a missing, foreign or damaged file."""
    hint = "write it anew with `jp-hw generate`"
    if not path.is_file():
        raise JpHwError(f"no network file {path}; {hint}")
    try:
        with safe_open(path, "numpy") as file:
            text = (file.metadata() or {}).get("network")
            arrays = {name: file.get_tensor(name).astype(np.int64) for name in file.keys()}  # noqa: SIM118
        if text is None:
            raise JpHwError(f"{path} is a safetensors file, but not a jp_hw network; {hint}")
        network = _build(_Network.model_validate_json(text), arrays)
        described = json.loads(text)
        checksum = described.pop("sha256")
        if checksum != _hash(json.dumps(described, sort_keys=True), arrays):
            raise JpHwError(f"{path} is damaged (its checksum differs); {hint}")
        return network
    except (SafetensorError, OSError) as error:
        raise JpHwError(f"{path} is damaged or no safetensors file ({error}); {hint}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise JpHwError(f"{path}: field {place}: {first['msg']}; {hint}") from error
    except KeyError as error:
        raise JpHwError(f"{path} lacks the array {error}; {hint}") from error


def _build(meta: _Network, arrays: dict[str, Int]) -> Network:
    layers = []
    for layer in meta.layers:
        sources = tuple(
            Source(weights=arrays[f"{layer.name}/weights{i}"], **source.model_dump())
            for i, source in enumerate(layer.sources)
        )
        requantize = None
        if layer.requantize is not None:
            has_table = layer.requantize.table
            requantize = Requantize(
                multiplier=arrays[f"{layer.name}/multiplier"],
                negative=arrays[f"{layer.name}/negative"],
                table=arrays[f"{layer.name}/table"] if has_table else None,
                **layer.requantize.model_dump(exclude={"table"}),
            )
        layers.append(
            Layer(
                layer.name,
                sources,
                arrays[f"{layer.name}/bias"],
                Shape(**layer.output.model_dump()),
                requantize,
                layer.weight_bits,
                None if layer.pool is None else Pool(**layer.pool.model_dump()),
            )
        )
    description = meta.input.model_dump()
    return Network(
        meta.name,
        Input(**{**description, "shape": Shape(**description["shape"])}),
        tuple(layers),
        arrays["samples"],
        meta.logit_scale,
        meta.notes,
        meta.dense,
    )
