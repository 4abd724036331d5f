"""The HLS back end: a static C++17 engine, and its configuration, memory images and top.

The engine (`templates/hls/jp_*.hpp`) is the same machine as the RTL's and reads the same memory
images; this module only names things and lays out words.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

from jp_hw.emit.hls_dataflow import dataflow
from jp_hw.ir import INPUT, Requantize
from jp_hw.schedule.build import BEAT
from jp_hw.schedule.design import Design, Field, Lane, LayerDesign, Memory, PoolDesign, TokenFormat
from jp_hw.templates_env import render, static

STATIC = ("jp_types.hpp", "jp_pe.hpp", "jp_engine.hpp", "testbench.cpp")

LIMB_BITS = 64
WORDS_PER_LINE = 12
NO_BITS = "0, 0, false"
"""Arguments of `jp::field` where a word has no such field."""

Values = dict[str, object]


def hls_files(design: Design) -> dict[str, str]:
    """All files of the HLS project, name -> text, names under `hls/`."""
    names = identifiers(layer.name for layer in design.layers)
    flow = dataflow(design, names)
    layers = [_layer(layer, name) for layer, name in zip(design.layers, names, strict=True)]
    memories = [
        ("input_keep", design.input_keep),
        ("input_map", design.input_map),
    ]
    for layer, name in zip(design.layers, names, strict=True):
        memories += _images(layer, name)
    everything: Values = {
        "network": _one_line(design.network.name),
        "pes": design.pes,
        "classes": design.network.classes,
        "frame_bytes": design.network.input.shape.size,
        "input": _input(design),
        "layers": layers,
        "passages": [
            {**vars(passage), "token": _token(passage.token)} for passage in flow.passages
        ],
        "fifos": flow.fifos,
        "processes": [process.to_template() for process in flow.processes],
        "memories": [_memory(name, image) for name, image in memories],
        "wide_memories": [name for name, image in memories if image.width > LIMB_BITS],
        "part": design.board.part,
        "period_ns": f"{1000.0 / design.clock_mhz:.3f}",
    }
    generated = ("config.hpp", "memories.hpp", "top.hpp", "top.cpp", "run_hls.tcl")
    files = {f"hls/{name}": static(f"hls/{name}") for name in STATIC}
    return files | {f"hls/{name}": render(f"hls/{name}.j2", **everything) for name in generated}


def identifiers(names: Iterable[str]) -> list[str]:
    """C++ identifiers of layer names, in order, all different; good names stay what they are."""
    result: list[str] = []
    for name in names:
        clean = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") or "layer"
        clean = clean if clean[0].isalpha() else f"layer_{clean}"
        unique, number = clean, 1
        while unique in result or unique == INPUT:
            number += 1
            unique = f"{clean}_n{number}"
        result.append(unique)
    return result


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip("\\")


def _field(low: int, field: Field) -> str:
    return f"{low}, {field.bits}, {_bool(field.signed)}"


def _bool(value: bool) -> str:
    return "true" if value else "false"


def _fields(memory: Memory, names: Mapping[str, str]) -> dict[str, str]:
    """Arguments of `jp::field` by C++ name; names: field name -> C++ name."""
    places, low = {}, 0
    for field in memory.fields:
        places[names.get(field.name, field.name)] = _field(low, field)
        low += field.bits
    return places


def _token(token: TokenFormat) -> str:
    return f"{token.value_bits}, {_bool(token.value_signed)}, {token.x_bits}, {token.channel_bits}"


def _input(design: Design) -> Values:
    spec = design.network.input
    lanes = (lane for layer in design.layers for lane in layer.lanes)
    return {
        "token": _token(next(lane.token for lane in lanes if lane.tensor == INPUT)),
        "map_fields": _fields(design.input_map, {}),
        "frame_bytes": spec.shape.size,
        "groups": -(-spec.shape.size // BEAT),
        "height": spec.shape.height,
        "row_bytes": spec.shape.width * spec.shape.channels,
        "is_signed": _bool(spec.signed),
        "least": design.network.input_least,
    }


def _layer(layer: LayerDesign, name: str) -> Values:
    start, more = layer.pointers[0].fields[:2]
    value = (
        f"{layer.value_bits}, {_bool(layer.value_signed)}, {layer.ring_bits}, {layer.beside_bits}"
    )
    winner = TokenFormat(layer.accumulator_bits, True, layer.output_x_bits, layer.channel_bits)
    fields = (
        dict.fromkeys(("first", "last", "taps_left", "taps_right", "tap"), NO_BITS)
        | _fields(layer.pointers[0], {})
        | _fields(layer.weights[0], {})
        | _fields(layer.thresholds[0], {})
        | _fields(layer.streams[0].post, {"class": "class_of"})
    )
    return {
        "name": name,
        "title": _one_line(layer.name),
        "pes": layer.pes,
        "slots": layer.slots,
        "most_beside": layer.most_beside,
        "ring_bits": layer.ring_bits,
        "command": f"{value}, {layer.cut_bits}, {layer.pointer_bits}",
        "job": f"{value}, {start.bits}, {more.bits}",
        "winner": _token(winner),
        "fields": fields,
        "out_height": layer.out_height,
        "out_width": layer.out_width,
        "row_words": layer.row_words,
        "accumulator_bits": layer.accumulator_bits,
        "sum_bits": layer.sum_bits,
        "is_signed": _bool(layer.requantize is not None and layer.requantize.signed),
        "pool": None if layer.pool is None else _pool(layer.pool),
        "requantize": None if layer.requantize is None else _requantize(layer, layer.requantize),
        "outs": [f"{name}_out{i}" for i in range(len(layer.streams))],
        "lanes": [_lane(lane, f"{name}_lane{i}") for i, lane in enumerate(layer.lanes)],
        "pe_structs": [
            {"name": f"{name}_pe{p:03}", "first_channel": (p - stream.first_pe) * layer.slots}
            for stream in layer.streams
            for p in range(stream.first_pe, stream.first_pe + stream.pes)
        ],
    }


def _requantize(layer: LayerDesign, rule: Requantize) -> Values:
    token = TokenFormat(rule.bits, rule.signed, layer.output_x_bits, layer.channel_bits)
    return {
        "output": _token(token),
        "shift": rule.shift,
        "low": rule.low,
        "high": rule.high,
        "table": None if layer.table is None else _fields(layer.table, {})["value"],
    }


def _pool(pool: PoolDesign) -> Values:
    rows, columns = _fields(pool.rows, {}), _fields(pool.columns, {})
    sizes = {"window": pool.window, "stride": pool.stride, "padding": pool.padding}
    return {
        "fields": {f"row_{key}": value for key, value in rows.items()}
        | {f"column_{key}": value for key, value in columns.items()},
        "sizes": {
            f"{name}_{axis}": size
            for name, pair in sizes.items()
            for axis, size in zip(("y", "x"), pair, strict=True)
        },
    }


def _lane(lane: Lane, name: str) -> Values:
    return {
        "name": name,
        "token": _token(lane.token),
        "height": lane.height,
        "first_column": lane.first_column,
        "stored": lane.stored,
        "fields": dict.fromkeys(("row_cut", "column_beside_left", "column_beside_right"), NO_BITS)
        | {f"row_{key}": value for key, value in _fields(lane.rows, {}).items()}
        | {f"column_{key}": value for key, value in _fields(lane.columns, {}).items()},
    }


def _images(layer: LayerDesign, name: str) -> Iterator[tuple[str, Memory]]:
    """C++ names of a layer's memory images."""
    for i, lane in enumerate(layer.lanes):
        yield f"{name}_lane{i}_rows", lane.rows
        yield f"{name}_lane{i}_columns", lane.columns
        yield f"{name}_lane{i}_masks", lane.masks
    for p in range(layer.pes):
        yield f"{name}_pe{p:03}_pointers", layer.pointers[p]
        yield f"{name}_pe{p:03}_weights", layer.weights[p]
        yield f"{name}_pe{p:03}_thresholds", layer.thresholds[p]
    for i, stream in enumerate(layer.streams):
        yield f"{name}_out{i}_post", stream.post
    if layer.table is not None:
        yield f"{name}_table", layer.table
    if layer.pool is not None:
        yield f"{name}_pool_rows", layer.pool.rows
        yield f"{name}_pool_columns", layer.pool.columns


def _memory(name: str, image: Memory) -> Values:
    """One array definition; words over 64 bits become arrays of 64-bit limbs, least first."""
    limbs = -(-image.width // LIMB_BITS)
    if limbs == 1:
        words = [f"{word:#x}" for word in image.words]
    else:
        mask = (1 << LIMB_BITS) - 1
        words = [
            "{" + ", ".join(f"{word >> LIMB_BITS * i & mask:#x}" for i in range(limbs)) + "}"
            for word in image.words
        ]
    lines = (
        "    " + ", ".join(words[i : i + WORDS_PER_LINE]) + ",\n"
        for i in range(0, len(words), WORDS_PER_LINE)
    )
    shown = image.fields if len(image.fields) <= 4 else (image.fields[0], image.fields[-1])
    between = ", " if shown is image.fields else " ... "
    return {
        "name": name,
        "layout": "from bit 0: " + between.join(f"{f.name} {f.bits}" for f in shown),
        "width": image.width if limbs == 1 else LIMB_BITS,
        "extents": f"[{image.depth}]" + (f"[{limbs}]" if limbs > 1 else ""),
        "words": "".join(lines),
    }
