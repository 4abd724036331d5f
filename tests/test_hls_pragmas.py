"""Which pragmas each compiler gets to see, after preprocessing: only its own, and only legal ones."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hls_cases import AP_AXI, design_of, mlp, random_network, residual

from jp_hw import csim
from jp_hw.emit.hls import hls_files
from jp_hw.plan import Plan

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")

NAME, NUMBER = r"[A-Za-z_]\w*", r"\d+"
VITIS: dict[str, dict[str, str]] = {
    # of UG1399 "HLS Pragmas": options and their values; "" is an option that takes none
    "pipeline": {"II": NUMBER, "style": "stp|frp|flp", "off": "", "rewind": ""},
    "unroll": {"factor": NUMBER, "off": "true", "skip_exit_check": ""},
    "dataflow": {"disable_start_propagation": ""},
    "inline": {"off": "", "recursive": ""},
    "interface": {"mode": "axis|ap_ctrl_none", "port": f"return|{NAME}", "register": "both"},
    "stream": {"variable": NAME, "depth": NUMBER, "type": "fifo|pipo|shared|unsync"},
    "array_partition": {
        "variable": NAME, "type": "cyclic|block|complete", "factor": NUMBER, "dim": NUMBER
    },
    "array_reshape": {
        "variable": NAME, "type": "cyclic|block|complete", "factor": NUMBER, "dim": NUMBER
    },
    "bind_storage": {
        "variable": NAME, "type": "ram_1p|ram_1wnr|ram_2p|ram_s2p|ram_t2p|rom_1p|rom_2p|rom_np",
        "impl": "bram|lutram|uram|srl|auto", "latency": NUMBER,
    },
    "dependence": {
        "variable": NAME, "class": "array|pointer", "type": "inter|intra",
        "direction": "RAW|WAR|WAW", "distance": NUMBER, "true": "", "false": "",
    },
}  # fmt: skip
BAMBU = {"interface": {"mode": "axis", "port": NAME}, "dataflow": {}}
NEEDED = {
    "pipeline": "II", "interface": "port", "stream": "variable", "array_partition": "variable",
    "array_reshape": "variable", "bind_storage": "variable", "dependence": "variable",
}  # fmt: skip


def fault(line: str, table: dict[str, dict[str, str]]) -> str | None:
    """What is wrong with `#pragma HLS ...`, None if it is legal."""
    words = line.split()
    if words[:2] != ["#pragma", "HLS"] or len(words) < 3 or words[2] not in table:
        return "unknown pragma"
    options, seen = table[words[2]], set()
    for word in words[3:]:
        name, _, value = word.partition("=")
        if name not in options or not re.fullmatch(options[name], value):
            return f"illegal option {word}"
        if name in seen:
            return f"{name} twice"
        seen.add(name)
    needed = NEEDED.get(words[2])
    return f"no {needed}" if needed is not None and needed not in seen else None


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Builds that between them use everything: wide memories, shortcuts, pooling, tables."""
    designs = [
        design_of(mlp(1, (45, 70, 7), (0.2, 0.3)), (70, 2)),
        design_of(residual(4), (2, 3, 2, 1), (1, 2, 1, 1)),
        *(
            design_of(random_network(seed), [1] * len(random_network(seed).layers))
            for seed in (0, 2)
        ),
    ]
    assert any(layer.pool for design in designs for layer in design.layers)
    folder = tmp_path_factory.mktemp("pragmas")
    return [Plan(hls_files(d), {}).write(folder / str(i)) for i, d in enumerate(designs)]


def preprocessed(build: Path, *flags: str) -> str:
    """top.cpp as a compiler sees it, its own part only."""
    (build / "hls" / "ap_axi_sdata.h").write_text(AP_AXI)
    command = ["g++", "-std=c++17", "-E", *flags, f"-I{build / 'hls'}"]
    words = [*command, "-isystem", str(csim.ap_types()), str(build / "hls" / "top.cpp")]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def pragmas(text: str) -> list[str]:
    """The HLS pragmas that come from our files."""
    ours, found = False, []
    for line in text.splitlines():
        place = re.match(r'# \d+ "([^"]+)"', line)
        if place is not None:
            ours = Path(place[1]).parent.name == "hls"
        elif ours and re.match(r"\s*#\s*pragma\s+(?!GCC)", line):
            found.append(" ".join(line.split()))
    return found


def test_vitis_sees_only_legal_pragmas(builds: list[Path]) -> None:
    kinds = set()
    for build in builds:
        text = preprocessed(build, "-DJP_HLS_VITIS")
        found = pragmas(text)
        faults = [(line, fault(line, VITIS)) for line in found if fault(line, VITIS)]
        assert not faults
        kinds |= {line.split()[2] for line in found}
        for line in found:
            # what a pragma names must exist
            name = re.search(r"(?:variable|port)=(\w+)", line)
            if name is not None and name[1] != "return":
                assert re.search(rf"[ &(]{name[1]}\)?(;|,|\)|\[| =)", text), line
        assert found.count("#pragma HLS dataflow") == 1
    assert kinds == set(VITIS)


def test_every_loop_that_reads_a_stream_is_pipelined(builds: list[Path]) -> None:
    for header in ("jp_engine.hpp", "jp_pe.hpp"):
        text = (builds[0] / "hls" / header).read_text()
        text = re.sub(r"#if defined\(JP_HLS_BAMBU\).*?#else\n", "", text, flags=re.DOTALL)
        loops = re.findall(r"while \([^\n]*\{\n\s*([^\n]*)\n", text)
        assert loops and all(line.startswith("JP_VITIS_PRAGMA(HLS pipeline II=1") for line in loops)


def test_bambu_sees_only_its_own_pragmas(builds: list[Path]) -> None:
    for build in builds:
        found = pragmas(preprocessed(build, "-DJP_HLS_BAMBU", "-D__BAMBU__"))
        assert [fault(line, BAMBU) for line in found] == [None] * 3
        top = (build / "hls" / "top.cpp").read_text()
        # a macro's line is not the function's: they must stand in the source
        assert all(line in top for line in found)


def test_bambu_keeps_processes_of_equal_code_apart(builds: list[Path]) -> None:
    """Its compiler folds equal functions into one, unless each has a section of its own."""
    for build in builds:
        text = preprocessed(build, "-DJP_HLS_BAMBU", "-D__BAMBU__")
        found = re.findall(
            r'__attribute__\(\(noinline, section\("\.jp\." "(\w+)"\)\)\)\s+void (\w+)\(', text
        )
        top = (build / "hls" / "top.cpp").read_text()
        body = top.split('extern "C" void jp_accelerator', 1)[1]
        called = re.findall(r"^  ([a-z]\w+)\([^;{}#]*\);$", body, re.MULTILINE)
        assert sorted(section for section, _ in found) == sorted(called)
        assert all(section == name for section, name in found)


def test_simulation_sees_none(builds: list[Path]) -> None:
    assert all(not pragmas(preprocessed(build)) for build in builds)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("#pragma HLS pipeline II=1 style=flp", None),
        ("#pragma HLS pipeline", "no II"),
        ("#pragma HLS pipeline II=x", "illegal option II=x"),
        ("#pragma HLS pipeline II=1 II=2", "II twice"),
        ("#pragma HLS stream variable=a dept=3", "illegal option dept=3"),
        ("#pragma HLS dependance variable=a", "unknown pragma"),
    ],
)
def test_the_table_finds_faults(line: str, reason: str | None) -> None:
    assert fault(line, VITIS) == reason
