"""A generated accelerator: malformed frames, soft reset in mid-frame, registers."""

import random
from pathlib import Path

import numpy as np

from jp_hw import boards, golden
from jp_hw.emit.rtl import TOP, rtl_files
from jp_hw.ir import Int, Network
from jp_hw.ir_file import digest
from jp_hw.macs import count
from jp_hw.registers import MAGIC, VERSION, register_map
from jp_hw.schedule import schedule
from jp_hw.schedule.build import channels_read
from rtl_tests import networks
from rtl_tests.common import SEED, on_simulators, run
from rtl_tests.tokens import Beat, beats_of

SETS = {
    "residual": networks.residual(5),
    "conv": networks.conv(3, 5, 3),
    "leaky-mlp": networks.mlp(4, leaky=True),
}
KINDS = (
    "exact",
    "short",
    "exact",
    "long",
    "exact",
    "hole",
    "exact",
    "empty",
    "late",
    "exact",
    "short",
)


def malformed(kind: str, data: bytes, rng: random.Random) -> tuple[list[Beat], bytes]:
    """Beats of a frame, and the bytes that count."""
    if kind == "short":
        cut = rng.randrange(1, len(data))
        return beats_of(data[:cut], rng), data[:cut].ljust(len(data), b"\0")
    if kind == "long":
        return beats_of(data + rng.randbytes(rng.randrange(1, 40)), rng), data
    if kind == "empty":
        return [Beat(rng.getrandbits(64), 0, 1)], bytes(len(data))
    beats = beats_of(data, rng)
    if kind == "hole":
        hole = next(i for i, byte in enumerate(data) if byte)
        beat = beats[hole // 8]
        beats[hole // 8] = Beat(beat.data, beat.keep & ~(1 << hole % 8), beat.last)
        return beats, data[:hole] + b"\0" + data[hole + 1 :]
    if kind == "late":
        beats[-1] = Beat(beats[-1].data, beats[-1].keep, 0)
        beats.append(Beat(0, 0xFF, 1))
    return beats, data


def image_of(network: Network, data: bytes) -> Int:
    shape = network.input.shape
    flat = np.frombuffer(data, np.int8 if network.input.signed else np.uint8).astype(np.int64)
    return flat.reshape(1, shape.height, shape.width, shape.channels)


@on_simulators(SETS)
def test_accelerator(simulator: str, parameters: Network, tmp_path: Path) -> None:
    network, rng = parameters, random.Random(SEED)
    design = schedule(network, boards.load("pynq-z2"), pes=1 + len(network.layers))
    frames, images = [], []
    for i, kind in enumerate(KINDS):
        sample = network.samples[i % len(network.samples)]
        beats, counted = malformed(kind, sample.astype(np.int64).astype(np.uint8).tobytes(), rng)
        images.append(image_of(network, counted))
        frames.append(
            {
                "kind": kind,
                "beats": [(beat.data, beat.keep, beat.last) for beat in beats],
                "logits": golden.run(network, images[-1])[0].tolist(),
                "error": kind != "exact",
            }
        )
    layers = tuple(layer.name for layer in network.layers)
    counted = count(network, np.concatenate(images))
    # values that no weight reads never travel
    values = golden.tensors(network, np.concatenate(images))
    tokens = []
    for layer in network.layers:
        sent = [values[s.tensor] * channels_read(network, s.tensor) for s in layer.sources]
        tokens.append(sum(int(np.count_nonzero(part)) for part in sent))
    top = digest(network)
    files = {name.removeprefix("rtl/"): text for name, text in rtl_files(design).items()}
    (tmp_path / "none").mkdir()
    run(
        TOP,
        {},
        "bench_accelerator",
        tmp_path,
        simulator,
        files=files,
        rtl=tmp_path / "none",
        data={
            "frames": frames,
            "layers": layers,
            "registers": {register.name: register.offset for register in register_map(layers)},
            "macs": [layer.macs for layer in counted],
            "tokens": tokens,
            "constants": {
                "magic": MAGIC,
                "version": VERSION,
                "digest_high": int(top[:8], 16),
                "digest_low": int(top[8:16], 16),
                "layers": len(layers),
                "control": 0,
                "status": 0,
            },
        },
    )
