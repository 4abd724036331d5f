"""The shipped driver on the simulated board: identities, batches, faults and recovery.

The driver runs in processes of its own, from the bundle, with the stand-in for `pynq` and, where
JP_HW_PYNQ names a Python that has it, with the real package. Behind both is the RTL.
"""

import ast
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from board_driver import REAL_PYNQ, Run, driver, edit, edit_board, fails, real_driver, script

from jp_hw import golden
from jp_hw.build import Build
from jp_hw.bundle import MANIFEST
from jp_hw.macs import count
from jp_hw.simulate import simulate
from jp_hw.simulators import icarus_version

HERE = Path(__file__).resolve().parent


both = pytest.mark.parametrize(
    "start",
    [
        driver,
        pytest.param(
            real_driver,
            marks=pytest.mark.skipif(
                REAL_PYNQ is None, reason="JP_HW_PYNQ names no Python with pynq"
            ),
        ),
    ],
)


@pytest.fixture
def copy(board_bundle: Path, tmp_path: Path) -> Path:
    """A bundle to spoil."""
    return shutil.copytree(board_bundle, tmp_path / "bundle")


@both
def test_self_test(start: Run, board_build: Build, board_bundle: Path) -> None:
    done = start(board_bundle, "selftest")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["passed"] and report["mismatches"] == 0 and report["counters_exact"] is True
    assert report["board"] == "Pynq-Z2"
    assert report["logits"] == len(board_build.images) * board_build.network.classes
    for layer in count(board_build.network, board_build.images):
        assert report["counters"][layer.name]["macs"] == layer.macs
        assert report["counters"][layer.name]["frames"] == len(board_build.images)
    assert 0 < report["latency_us"] < 100 and report["cycles_per_image"] > 10


def test_counters_are_those_of_simulate(board_build: Build, board_bundle: Path) -> None:
    report = json.loads(driver(board_bundle, "selftest").stdout)
    simulator = (
        "icarus" if icarus_version() else "verilator"
    )  # either gives the same; that one compiles fast
    registers = simulate(board_build, len(board_build.images), simulator=simulator).run.registers
    for layer, counters in report["counters"].items():
        for name in ("tokens", "macs", "busy", "frames"):
            assert counters[name] == registers[f"{layer}_{name}"], (layer, name)


@both
def test_a_long_batch(start: Run, board_build: Build, board_bundle: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    shape = (300, *board_build.network.samples.shape[1:])
    images = (rng.integers(0, 256, shape) * (rng.random(shape) < 0.4)).astype(np.uint8)
    np.save(tmp_path / "images.npy", images)
    done = start(board_bundle, "run", tmp_path / "images.npy")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    expected = golden.run(board_build.network, images)
    assert np.array_equal(result["logits"], expected)
    assert result["classes"] == expected.argmax(1).tolist()


def test_a_hung_accelerator_is_reset_and_goes_on(board_bundle: Path) -> None:
    code = """
with Accelerator(timeout=0.3) as accelerator:
    board().logic.ask("D", 1, 11)  # the last beat is lost on the way: the last frame never ends
    print(json.dumps(refused(lambda: accelerator.logits(images))))
    print(json.dumps(bool((accelerator.logits(images) == logits).all())))
    print(json.dumps(accelerator.read("frames")))
    print(json.dumps(accelerator.counters()["layer0"]["frames"]))
"""
    message, is_right, frames, layer_frames = script(board_bundle, code)
    assert message == "the accelerator did not answer 4 images within 0.3 s; it was reset"
    assert is_right
    assert frames == layer_frames == 4, "counted from the reset on"


def test_lost_beats_in_mid_batch_are_noticed(board_bundle: Path) -> None:
    code = """
with Accelerator(timeout=0.3) as accelerator:
    board().logic.ask("D", 2, 1)
    print(json.dumps(refused(lambda: accelerator.logits(images))))
    print(json.dumps(bool((accelerator.logits(images) == logits).all())))
"""
    message, is_right = script(board_bundle, code)
    assert message == "the accelerator lost its place in the stream of frames; it was reset"
    assert is_right


def test_batches_of_every_size_and_a_reset_between(board_bundle: Path) -> None:
    code = """
import jp_hw_board.accelerator as module
with Accelerator() as accelerator:
    for count in (1, 2, 3, 4, 1):
        print(json.dumps(bool((accelerator.logits(images[:count]) == logits[:count]).all())))
    accelerator.reset()
    module.BATCH_BYTES = 50  # two frames a transfer
    print(json.dumps(bool((accelerator.logits(images) == logits).all())))
    print(json.dumps(accelerator.counter_table()))
"""
    *right, text = script(board_bundle, code)
    assert right == [True] * 6
    head, *rows = text.splitlines()
    assert head.split() == ["layer", "tokens", "macs", "busy", "stalled", "frames"]
    assert [row.split()[-1] for row in rows] == ["4"] * 3
    assert len({len(line) for line in [head, *rows]}) == 1


def test_the_dma_engine_s_errors(board_bundle: Path) -> None:
    code = """
with Accelerator(timeout=0.5) as accelerator:
    dma, frame = accelerator._dma, 24
    sent, received = pynq.allocate((4096,), "u1"), pynq.allocate((64,), "i4")
    def ends(call):
        try:
            call()
        except (RuntimeError, ValueError) as error:
            return str(error)
    # unaligned, too long, while busy
    print(json.dumps(ends(lambda: dma.sendchannel.transfer(sent, 4, 64))))
    print(json.dumps(ends(lambda: dma.recvchannel.transfer(received, 2, 8))))
    print(json.dumps(ends(lambda: dma.sendchannel.transfer(sent, 0, 1 << 26))))
    dma.recvchannel.transfer(received, 0, 20)
    print(json.dumps(ends(lambda: dma.recvchannel.transfer(received, 0, 20))))
    accelerator.reset()
    # more logits than the transfer has room for: an internal error, until a reset
    dma.recvchannel.transfer(received, 0, 8)
    dma.sendchannel.transfer(sent, 0, frame)
    print(json.dumps(ends(dma.recvchannel.wait)))
    print(json.dumps(ends(lambda: dma.recvchannel.transfer(received, 0, 20))))
    accelerator.reset()
    # fewer logits than there is room for: the transfer ends with what came
    dma.recvchannel.transfer(received, 0, 256)
    dma.sendchannel.transfer(sent, 0, frame)
    dma.recvchannel.wait()
    print(json.dumps(dma.recvchannel.transferred))
    # an address where no memory is, and a length of nothing
    board().memory.free(sent.physical_address)
    dma.sendchannel.transfer(sent, 0, frame)
    print(json.dumps(dma.read(4) & 0x70))
    accelerator.reset()
    print(json.dumps(bool((accelerator.logits(images) == logits).all())))
"""
    said = script(board_bundle, code)
    assert "aligned to 8 bytes" in said[0]
    assert "aligned to 4 bytes" in said[1]
    assert "exceeds the maximum DMA buffer size 67108863" in said[2]
    assert said[3] == "DMA channel not idle"
    assert "DMA error, status" in said[4] or "not started" in said[4]
    assert said[5] == "DMA channel not started"
    assert said[6:] == [20, 0x40, True]


def test_a_failing_transfer_is_told_and_mended(board_bundle: Path) -> None:
    code = """
with Accelerator(timeout=0.5) as accelerator:
    accelerator.logits(images)
    kept = accelerator._buffers["receive"]
    board().memory.free(kept.physical_address)
    print(json.dumps(refused(lambda: accelerator.logits(images))))
    accelerator._buffers.clear()
    print(json.dumps(bool((accelerator.logits(images) == logits).all())))
    # a frame that is cut short by someone else's transfer
    dma = accelerator._dma
    sent = pynq.allocate((64,), "u1")
    dma.sendchannel.transfer(sent, 0, 8)
    print(json.dumps(refused(lambda: accelerator.logits(images))))
    print(json.dumps(bool((accelerator.logits(images) == logits).all())))
"""
    failed, is_right, short, is_right_again = script(board_bundle, code)
    assert "the DMA engine's receive channel failed" in failed or "not started" in failed
    assert is_right and is_right_again
    assert "it was reset" in short or "was reset" in short


def test_wrong_images(board_bundle: Path) -> None:
    code = """
with Accelerator() as accelerator:
    for wrong in (images[:, :, :, :5], images * 1.0, images.astype(int) + 300, images[:0]):
        print(json.dumps(refused(lambda: accelerator.logits(wrong))))
"""
    shape, kind, limits, none = script(board_bundle, code)
    assert shape == "images of shape (4, 1, 1, 5); the network reads (n, 1, 1, 21)"
    assert kind == "images of type float64; the network reads integers"
    assert limits == "images hold values outside 0..255"
    assert none.startswith("images of shape (0, 1, 1, 21)")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"magic": 1}, r"error: what is loaded is no jp_hw accelerator \(magic 0x4a504857\)"),
        (
            {"version": 0x0002_0000},
            "has register map 1.0, this driver knows 2; build and deploy anew",
        ),
        (
            {"digest": "0" * 64},
            "holds network .*, the bundle is of network 0000000000000000; build",
        ),
        ({"format": "jp_hw-bundle-0"}, "is no bundle of format jp_hw-bundle-1; deploy it anew"),
    ],
)
def test_identity_is_checked(copy: Path, change: dict[str, Any], message: str) -> None:
    edit(copy, **change)
    assert re.search(message, fails(driver(copy, "selftest")))


def test_files_are_checked(copy: Path, board_bundle: Path) -> None:
    path = copy / "overlay.hwh"
    path.write_text(path.read_text() + " ")
    assert "overlay.hwh in" in fails(driver(copy, "selftest"))
    path.unlink()
    assert "overlay.hwh is missing" in fails(driver(copy, "check"))
    (copy / MANIFEST).write_text("{")
    assert "is no bundle" in fails(driver(copy, "selftest"))


@both
def test_the_board_is_checked(start: Run, board_bundle: Path, copy: Path) -> None:
    if start is driver:
        wrong = driver(board_bundle, "selftest", BOARD="ZCU104")
        assert fails(wrong) == "error: this board is a ZCU104, the overlay is for pynq-z2"
        assert driver(board_bundle, "check", BOARD="pynq_z2").returncode == 0
        nameless = fails(driver(board_bundle, "check"))
        assert "does not say what it is" in nameless and "BOARD=pynq-z2" in nameless
    edit_board(copy, board="KV260")
    assert "this board is a KV260" in fails(start(copy, "selftest"))


@both
def test_lost_beats_end_the_self_test(start: Run, copy: Path) -> None:
    edit_board(copy, lose_beats=1 << 20)
    message = fails(start(copy, "selftest", "--timeout", "0.3"))
    assert message == "error: the accelerator did not answer 1 images within 0.3 s; it was reset"


def test_differing_results_are_counted(copy: Path) -> None:
    with np.load(copy / "vectors.npz") as file:
        vectors = dict(file)
    vectors["logits"][0, :2] += 1
    np.savez(copy / "vectors.npz", **vectors)
    manifest = json.loads((copy / MANIFEST).read_text())
    del manifest["files"]["vectors.npz"]
    edit(copy, files=manifest["files"])
    done = driver(copy, "selftest")
    assert done.returncode == 1
    assert json.loads(done.stdout)["mismatches"] == 2
    manifest["expected_counters"]["layer1"]["macs"] += 1
    edit(copy, **manifest)
    assert json.loads(driver(copy, "selftest").stdout)["counters_exact"] is False


def test_a_dead_board_is_told(copy: Path) -> None:
    program = copy / "logic" / "Vjp_board"
    program.write_text("#!/bin/sh\nexit 3\n")
    manifest = json.loads((copy / MANIFEST).read_text())
    del manifest["files"]["logic/Vjp_board"]
    edit(copy, files=manifest["files"])
    assert "the simulated logic ended with status 3" in fails(driver(copy, "selftest"))


def test_images_that_cannot_be_read(board_bundle: Path, tmp_path: Path) -> None:
    assert "run needs a .npy file" in fails(driver(board_bundle, "run"))
    assert "cannot read images from" in fails(driver(board_bundle, "run", tmp_path / "none.npy"))


def test_the_driver_needs_numpy_and_pynq_only() -> None:
    known = {*sys.stdlib_module_names, "numpy", "pynq"}
    for path in (HERE.parent / "jp_hw" / "driver").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names.append(node.module or "")
            assert {name.split(".")[0] for name in names} <= known, path
