"""The dataflow as PandA-Bambu builds it: every process on its own, FIFOs of three words, blocking reads,
no words of 33 to 63 bits, and writes that come after the next read unless they are asked for.

Each process of `top.cpp` runs in a thread and goes from frame to frame by itself. If the order in
which processes wait for one another could block, this hangs.
"""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hls_cases import (
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
from jp_hw.emit import hls_dataflow
from jp_hw.ir import Network

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")

STREAM = """\
#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
namespace hls {
// a held write comes out only after the process' next read, as PandA-Bambu's do outside a loop
inline thread_local std::function<void()> held;
inline void flush() {
  const std::function<void()> write = std::move(held);
  held = nullptr;
  if (write) write();
}
template <class T> class stream {
  std::deque<T> words;
  std::mutex mutex;
  std::condition_variable changed;
 public:
  static constexpr int bits = T::width;
  std::size_t room = 3;
  T read() {
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [this] { return !words.empty(); });
    T word = words.front();
    words.pop_front();
    changed.notify_all();
    lock.unlock();
    flush();
    return word;
  }
  void held_write(const T& word) {
    flush();
    held = [this, word] { write(word); };
  }
  void write(const T& word) {
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [this] { return words.size() < room; });
    words.push_back(word);
    changed.notify_all();
  }
};
}  // namespace hls
"""
MAIN = """
#include <cstdio>
int main(int, char** names) {
  static hls::stream<jp::input_beat> in;
  static hls::stream<jp::output_beat> out;
  in.room = out.room = std::size_t(1) << 40;
  std::FILE* file = std::fopen(names[1], "rb");
  for (int frame = 0; frame < FRAMES; ++frame) {
    for (int sent = 0; sent < kFrameBytes;) {
      jp::input_word beat{0, 0, false};
      for (int i = 0; i < 8 && sent < kFrameBytes; ++i, ++sent) {
        beat.data |= std::uint64_t(std::fgetc(file) & 255) << (8 * i);
        beat.keep = std::uint8_t(beat.keep | 1u << i);
      }
      beat.last = sent == kFrameBytes;
      in.write(jp::pack(beat));
    }
  }
  jp_accelerator(in, out);
  for (int i = 0; i < FRAMES * kClasses; ++i) std::printf("%d\\n", jp::unpack(out.read()).data);
}
"""


def threaded(top: str) -> str:
    """top.cpp with each call of a process in a thread of its own, once per frame."""
    head, body = top.split('extern "C" void jp_accelerator', 1)
    calls = re.compile(r"^  (\w+)\(([^;{}#]*)\);$", re.MULTILINE)
    inner = calls.sub(
        r"  threads.emplace_back([&] { for (int f = 0; f < FRAMES; ++f) \1(\2), hls::flush(); });",
        body,
    )
    assert inner.count("emplace_back") == top.count("JP_PROCESS(")
    # PandA-Bambu loads other words without their upper bits
    inner, fifos = re.subn(
        r"(static jp::fifo<\d+> (\w+);)",
        r"\1 static_assert(decltype(\2)::bits <= 32 || decltype(\2)::bits == 64);",
        inner,
    )
    assert fifos
    inner = inner.replace(
        "jp::output_beat>& m_axis) {",
        "jp::output_beat>& m_axis) {\n  std::vector<std::thread> threads;",
        1,
    )
    inner = inner.rstrip().removesuffix("}") + "  for (auto& thread : threads) thread.join();\n}\n"
    return (
        f'#include <thread>\n#include <vector>\n{head}extern "C" void jp_accelerator{inner}{MAIN}'
    )


def run(
    network: Network,
    pes: list[int],
    streams: list[int],
    folder: Path,
    timeout: float = 120.0,
    write_of: str = "write",
) -> None:
    build = write(design_of(network, pes, streams), folder / "build")
    images = varied_images(network)
    (folder / "images.bin").write_bytes(b"".join(as_bytes(image) for image in images))
    (folder / "hls_stream.h").write_text(STREAM)
    types = build / "hls" / "jp_types.hpp"
    own = "  do {\n    to.write(ap_uint<W>(word));\n  } while (stray);\n"
    assert own in types.read_text()
    types.write_text(types.read_text().replace(own, own.replace("write", write_of)))
    (folder / "top.cpp").write_text(threaded((build / "hls" / "top.cpp").read_text()))
    command = [
        "g++",
        "-std=c++17",
        "-O0",
        "-pthread",
        "-w",
        "-DJP_HLS_BAMBU",
        f"-DFRAMES={len(images)}",
    ]
    paths = [f"-I{folder}", f"-I{build / 'hls'}", "-isystem", str(csim.ap_types())]
    subprocess.run([*command, *paths, "top.cpp", "-o", "run"], cwd=folder, check=True)
    done = subprocess.run(
        ["./run", "images.bin"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=timeout,
    )
    logits = np.array(done.stdout.split(), np.int64).reshape(len(images), -1)
    assert (logits == golden.run(network, images)).all()


@pytest.mark.parametrize(
    ("network", "pes", "streams"),
    [
        (conv(3), [4, 3, 1], [2, 1, 1]),
        (residual(4), [2, 3, 2, 1], [1, 2, 2, 1]),
        (mlp(7, (2000, 300, 10), (0.02, 0.2)), [2, 1], [1, 1]),
    ],
    ids=["conv", "residual", "wide words"],
)
def test_nothing_waits_for_ever_or_loses_bits(
    network: Network, pes: list[int], streams: list[int], tmp_path: Path
) -> None:
    run(network, pes, streams, tmp_path)


def test_it_would_be_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the rows that `hold` accepts ahead, the same network waits for ever."""
    monkeypatch.setattr(
        hls_dataflow, "_accepted", lambda layer, i, clock: np.arange(1, layer.lanes[i].height + 1)
    )
    with pytest.raises(subprocess.TimeoutExpired):
        run(residual(4), [2, 3, 2, 1], [1, 2, 2, 1], tmp_path, timeout=8.0)


def test_writes_need_their_loop(tmp_path: Path) -> None:
    """A row's marker would stay in its process, and the lanes of a sum would wait for one another."""
    with pytest.raises(subprocess.TimeoutExpired):
        given = residual(4), [1, 2, 1, 1], [1, 2, 1, 1]
        run(*given, tmp_path, timeout=8.0, write_of="held_write")


@pytest.mark.parametrize("seed", [6])
def test_random_networks(seed: int, tmp_path: Path) -> None:
    network = random_network(seed)
    pes = [min(2, layer.output.channels) for layer in network.layers]
    run(network, pes, [*pes[:-1], 1], tmp_path)
