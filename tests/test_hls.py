"""The generated HLS C++, compiled with g++, against the golden model: equal in every bit."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hls_cases import (
    AP_AXI,
    as_bytes,
    conv,
    design_of,
    mlp,
    random_network,
    residual,
    varied_images,
    write,
)

from jp_hw import csim, golden
from jp_hw.emit.hls import hls_files, identifiers
from jp_hw.errors import JpHwError
from jp_hw.ir import INPUT, Input, Layer, Network, Requantize, Shape, Source
from jp_hw.plan import Plan
from jp_hw.schedule import Design, Memory

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")


@pytest.fixture(autouse=True)
def _compiler(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shared build is compiled as users compile it, others as fast as can be."""
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("CXXFLAGS", "" if "small" in request.fixturenames else "-O0")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Design, Path]:
    """Three layers; images are not a whole number of beats; the first layer has a mask > 64 bit."""
    design = design_of(mlp(1, (45, 70, 12, 7), (0.2, 0.3, 0.6)), (70, 5, 2))
    return design, write(design, tmp_path_factory.mktemp("small") / "build")


BAMBU_STREAM = """\
#pragma once
#include <deque>
namespace hls {
template <class T> class stream {
  std::deque<T> words;
 public:
  stream() {}
  stream(const char*) {}  // for the test bench only
  bool empty() const { return words.empty(); }  // likewise
  T read() { T word = words.front(); words.pop_front(); return word; }
  void write(const T& word) { words.push_back(word); }
};
}  // namespace hls
"""

# --- equality ----------------------------------------------------------------------------------


def check(network: Network, build: Path) -> None:
    images = varied_images(network)
    expected = golden.run(network, images)
    assert len(np.unique(expected, axis=0)) > 5
    assert (csim.csim(build, images) == expected).all()


def test_mlp_on_many_pes_compiles_without_warnings(small: tuple[Design, Path]) -> None:
    design, build = small
    check(design.network, build)
    assert (build / "csim" / "compile.log").read_text() == ""


def test_leaky_mlp_with_signed_input_on_one_pe_per_layer(tmp_path: Path) -> None:
    network = mlp(2, (48, 20, 15, 6), (0.3, 0.4, 0.6), leaky=True)
    assert (golden.tensors(network, network.samples)["fc1"] < 0).any()
    check(network, write(design_of(network, (1, 1, 1)), tmp_path / "build"))


def test_conv_with_strides(tmp_path: Path) -> None:
    network = conv(3)
    check(network, write(design_of(network, (4, 3, 1)), tmp_path / "build"))


def test_extreme_weights_fill_the_accumulators(tmp_path: Path) -> None:
    signs = np.where(np.arange(8)[:, None] % 2, -127, 127) * np.ones((8, 32), np.int64)
    signs[6:] = 127 * np.where(np.arange(32) % 2, 1, -1)
    table = signs.reshape(8, 32, 1, 1)
    requantize = Requantize(np.full(8, 131071), np.full(8, 70000), 30, -128, 127, 1)
    last = np.where(np.arange(32).reshape(4, 8, 1, 1) % 3, 127, -127)
    layers = (
        Layer("fc1", (Source(INPUT, table),), np.zeros(8, np.int64), Shape(1, 1, 8), requantize),
        Layer("fc2", (Source("fc1", last),), np.zeros(4, np.int64), Shape(1, 1, 4), None),
    )
    network = Network("extreme", Input(Shape(1, 1, 32)), layers, np.full((1, 1, 1, 32), 255))
    first = golden.tensors(network, network.samples)["fc1"]
    assert first.min() < -60 and first.max() > 100
    images = np.concatenate([network.samples, 255 * np.eye(32, dtype=np.int64)[:, None, None]])
    build = write(design_of(network, (3, 2)), tmp_path / "build")
    assert (csim.csim(build, images) == golden.run(network, images)).all()


def test_residual_block_forks_and_waits_in_every_compiler_variant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = residual(4)
    design = design_of(network, (2, 3, 2, 1), (1, 2, 1, 1))
    assert [len(layer.lanes) for layer in design.layers] == [1, 1, 3, 1]
    top = hls_files(design)["hls/top.cpp"]
    assert "jp::copy<stem_out0_fork_of>(stem_out0_tokens, stem_out0_copy0" in top
    assert "jp::requantize<a_out1>" in top
    assert "jp::hold<sum_lane2_hold_of>" in top
    build = write(design, tmp_path / "build")
    check(network, build)
    # stand-ins for the compilers' own headers: the same members, no behaviour of their own
    (build / "hls" / "ap_axi_sdata.h").write_text(AP_AXI)
    (build / "bambu").mkdir()
    (build / "bambu" / "hls_stream.h").write_text(BAMBU_STREAM)
    for variant, folder in (("JP_HLS_VITIS", "hls"), ("JP_HLS_BAMBU", "bambu")):
        monkeypatch.setenv("CXXFLAGS", f"-O0 -D{variant} -I{build / folder}")
        check(network, build)


@pytest.mark.parametrize("seed", range(4))
def test_random_networks(seed: int, tmp_path: Path) -> None:
    network = random_network(seed)
    rng = np.random.default_rng(seed)
    pes = [int(rng.integers(1, 1 + min(4, layer.output.channels))) for layer in network.layers]
    streams = [int(rng.integers(1, 1 + min(2, count))) for count in pes[:-1]]
    build = write(design_of(network, pes, [*streams, 1]), tmp_path / "build")
    images = varied_images(network)
    assert (csim.csim(build, images) == golden.run(network, images)).all()


# --- malformed frames --------------------------------------------------------------------------


def dropped(frames: list[bytes], seed: int) -> list[list[bool]]:
    """Which bytes the test bench drops: bits of a linear congruential generator, one step a beat."""
    result = []
    for frame in frames:
        flags: list[bool] = []
        for _ in range(max(1, -(-len(frame) // 8))):
            seed = (seed * 1664525 + 1013904223) % (1 << 32)
            flags += [not (seed >> 24 >> i) & 1 for i in range(8)]
        result.append(flags[: len(frame)])
    return result


@pytest.mark.parametrize("holes", [None, 7])
def test_malformed_frames_are_marked_and_leave_the_next_exact(
    small: tuple[Design, Path], holes: int | None
) -> None:
    network = small[0].network
    images = varied_images(network)[:8]
    size = network.input.shape.size
    raw = [as_bytes(image) for image in images]
    # sizes around whole beats, nothing at all, one byte too many, whole beats too many
    lengths = [size, size - 1, size - 8, 0, size + 1, size, size + 40, size]
    frames = [
        (data * 3)[:length] for data, length in zip(raw, lengths, strict=True)
    ]  # a long frame repeats itself, so it must really be cut
    gone = [[False] * len(frame) for frame in frames] if holes is None else dropped(frames, holes)
    read = [
        bytes(0 if drop else byte for byte, drop in zip(frame, drops, strict=True))
        for frame, drops in zip(frames, gone, strict=True)
    ]
    seen = [(frame + bytes(size))[:size] for frame in read]
    taken = np.stack([np.frombuffer(frame, np.uint8).astype(np.int64) for frame in seen])
    expected = golden.run(network, taken.reshape(images.shape))
    result = csim.csim_frames(small[1], frames, holes)
    assert (result.logits == expected).all()
    # one byte too many that is dropped is as good as not sent
    sound = [
        not any(drops[:size]) and len(drops) >= size and all(drops[size:]) and len(drops) < size + 8
        for drops in gone
    ]
    assert result.errors.tolist() == [not well for well in sound]
    assert any(sound) or holes is not None


# --- the memories are what the C++ reads -------------------------------------------------------


def changed(memory: Memory, field: str, index: int, value: int) -> Memory:
    place = [f.name for f in memory.fields].index(field)
    column = memory.values[place].copy()
    assert column[index] != value
    column[index] = value
    values = (*memory.values[:place], column, *memory.values[place + 1 :])
    return Memory(memory.name, memory.fields, values)


def with_memory(
    design: Design, layer: int, kind: str, field: str, index: int, value: int
) -> Design:
    old = design.layers[layer]
    if kind == "post":
        new = replace(
            old,
            streams=(
                replace(old.streams[0], post=changed(old.streams[0].post, field, index, value)),
                *old.streams[1:],
            ),
        )
    else:
        first, *rest = old.weights if kind == "weights" else old.thresholds
        memories = (changed(first, field, index, value), *rest)
        new = (
            replace(old, weights=memories)
            if kind == "weights"
            else replace(old, thresholds=memories)
        )
    layers = (*design.layers[:layer], new, *design.layers[layer + 1 :])
    return replace(design, layers=layers)


def test_one_wrong_constant_makes_a_difference(tmp_path: Path) -> None:
    network = mlp(5, (24, 6, 4), (0.7, 0.9))
    design = design_of(network, (2, 2))
    images = varied_images(network)
    expected = golden.run(network, images)
    rule_of = network.layers[0].requantize
    assert rule_of is not None
    hidden = golden.tensors(network, images)["fc1"]
    first = design.layers[0]
    alive = (hidden > 0).reshape(-1, hidden.shape[-1]).sum(0)[first.channel_of[0]]
    slot = int(alive.argmax())  # of the first PE
    channel = int(first.channel_of[0, slot])
    assert alive[slot] > 0
    memory = first.weights[0]
    fields = {
        field.name: values for field, values in zip(memory.fields, memory.values, strict=True)
    }
    at = int(np.flatnonzero(fields["offset"] == slot)[0])
    most = (1 << (first.accumulator_bits - 1)) - 1
    assert first.thresholds[0].values[0][slot] < most
    half = int(rule_of.multiplier[channel]) // 2
    wrong = {
        "weight": with_memory(design, 0, "weights", "weight", at, -int(fields["weight"][at])),
        "threshold": with_memory(design, 0, "thresholds", "keep_from", slot, most),
        "multiplier": with_memory(design, 0, "post", "multiplier", slot, half),
    }
    build = tmp_path / "build"
    for name, candidate in {"right": design, **wrong}.items():
        Plan(hls_files(candidate), {}).write(build, force=True)
        is_equal = (csim.csim(build, images) == expected).all()
        assert is_equal == (name == "right"), name


# --- the tool's surface ------------------------------------------------------------------------


def test_binary_is_reused_until_a_source_changes(small: tuple[Design, Path]) -> None:
    build = small[1]
    before = csim.binary(build).stat().st_mtime_ns
    assert csim.binary(build).stat().st_mtime_ns == before
    source = build / "hls" / "top.hpp"
    text = source.read_text()
    source.write_text(text + "#error stop here\n")
    with pytest.raises(JpHwError, match=r"g\+\+ failed .*stop here.*compile\.log"):
        csim.binary(build)
    source.write_text(text)
    assert csim.binary(build).stat().st_mtime_ns == before


def test_errors_are_one_clear_line(
    small: tuple[Design, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build, images = small[1], small[0].network.samples
    with pytest.raises(JpHwError, match=r"no hls/top\.cpp; make the build"):
        csim.csim(tmp_path, images)
    with pytest.raises(JpHwError, match="no bytes"):
        csim.csim(build, images + 200)
    with pytest.raises(JpHwError, match="csim reads integers"):
        csim.csim(build, images.astype(float))
    with pytest.raises(JpHwError, match="no whole number of frames of 45 bytes"):
        csim.csim(build, images[..., :-1])
    with pytest.raises(JpHwError, match="not of the network's input size"):
        csim.csim(build, images.reshape(2, -1))
    monkeypatch.setenv("CXX", "no-such-compiler -O2")
    with pytest.raises(JpHwError, match="no-such-compiler is not installed or not on PATH"):
        csim.csim(build, images)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(JpHwError, match="pip install hls4ml"):
        csim.csim(build, images)


def test_testbench_checks_its_arguments(small: tuple[Design, Path], tmp_path: Path) -> None:
    program = csim.binary(small[1])
    network = small[0].network
    images, expected = tmp_path / "images.bin", tmp_path / "expected.bin"
    images.write_bytes(network.samples.astype(np.uint8).tobytes())
    logits = golden.run(network, network.samples).astype("<i4")

    def run(*words: str) -> tuple[int, str]:
        done = subprocess.run(
            [program, *words], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout + done.stderr

    expected.write_bytes(logits.tobytes())
    assert run("images.bin", "out.bin", "--expected", "expected.bin") == (
        0,
        "frames 6 classes 7 errors 0\n",
    )
    logits[3, 2] += 1
    expected.write_bytes(logits.tobytes())
    status, text = run("images.bin", "out.bin", "--expected", "expected.bin")
    assert status == 1 and "the logits differ" in text
    assert run("images.bin")[1].startswith("error: usage: testbench IMAGES LOGITS")
    assert run("images.bin", "out.bin", "--what", "1") == (1, "error: unknown option --what\n")
    assert run("nothing.bin", "out.bin") == (1, "error: cannot read nothing.bin\n")


def test_names_become_different_identifiers() -> None:
    names = ["conv1", "layer1.0.conv", "layer1_0_conv", "0", "class", "...", "input"]
    result = identifiers(names)
    assert result[0] == "conv1" and result[1] == "layer1_0_conv"
    assert len(set(result)) == len(names) and all(name.isidentifier() for name in result)
    assert "input" not in result


def test_csim_imports_neither_torch_nor_hls4ml() -> None:
    code = "import jp_hw.csim, sys; print({'torch', 'hls4ml'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


# --- the Vitis HLS script ----------------------------------------------------------------------

COMMANDS = (
    "open_project set_top add_files open_solution set_part create_clock csim_design "
    "csynth_design cosim_design export_design exit"
)


def run_tcl(folder: Path, environment: dict[str, str]) -> list[str]:
    """The Vitis HLS commands that the script gives, in order; ValueError if it stops."""
    tkinter = pytest.importorskip("tkinter")
    shell = tkinter.Tcl()
    shell.eval("set calls {}; array unset ::env JP_*")
    for name in COMMANDS.split():
        shell.eval(f"proc {name} args {{ lappend ::calls [concat {name} $args] }}")
    for name, value in environment.items():
        shell.eval(f"set ::env({name}) {{{value}}}")
    try:
        shell.eval(f"source {{{folder / 'hls' / 'run_hls.tcl'}}}")
    except tkinter.TclError as error:
        raise ValueError(str(error)) from error
    return list(shell.splitlist(shell.eval("set calls")))


def test_vitis_script(small: tuple[Design, Path], tmp_path: Path) -> None:
    build = small[1]
    calls = run_tcl(build, {})
    assert calls[1] == "set_top jp_accelerator"
    assert calls[5:] == [
        "set_part xc7z020clg400-1",
        "create_clock -period 8.000 -name default",
        "csynth_design",
        "export_design -format ip_catalog -ipname jp_accelerator",
        "exit",
    ]
    assert calls[2].endswith(f"{build}/hls/top.cpp") and "-DJP_HLS_VITIS" in calls[2]
    assert "-tb" in calls[3] and calls[3].endswith(f"{build}/hls/testbench.cpp")
    assert calls[4] == "open_solution -reset -flow_target vivado solution"
    with pytest.raises(ValueError, match="unknown step route"):
        run_tcl(build, {"JP_STEPS": "csynth route"})
    with pytest.raises(ValueError, match="set JP_EXPECTED to a file"):
        run_tcl(build, {"JP_STEPS": "csim", "JP_IMAGES": __file__})
    files = {"JP_IMAGES": __file__, "JP_EXPECTED": __file__}
    all_steps = run_tcl(build, {"JP_STEPS": "csim csynth cosim export", **files})
    assert f"cosim_design -argv {{{__file__} logits.bin --expected {__file__}}}" in all_steps
    top = (build / "hls" / "top.cpp").read_text()
    assert 'extern "C" void jp_accelerator(' in top
    assert "array_reshape variable=fc1_lane0_masks" in top  # 70 bits: more than one limb
