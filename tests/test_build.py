"""Build folders: written whole or not at all, read back equal, and refused when damaged."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import Convolution, chain, mlp

from jp_hw import boards, golden, ir_file
from jp_hw.build import Build, describe, emit, open_build
from jp_hw.errors import JpHwError
from jp_hw.ir import Shape
from jp_hw.plan import MANIFEST, Plan, write_inside
from jp_hw.schedule import Design, schedule

BOARD = boards.load("pynq-z2")
NETWORKS = {
    "mlp": mlp(1, (12, 6, 5, 3), leaky=True),
    "conv": chain(2, Shape(5, 4, 2), (Convolution(4, padding=(1, 1)),)),
}
DESIGNS = {name: schedule(network, BOARD, pes=5) for name, network in NETWORKS.items()}
PLAN = emit(DESIGNS["mlp"])


def equal(a: Design, b: Design) -> bool:
    """The same words in every memory, and the same placement."""
    pairs = [(a.input_keep, b.input_keep), (a.input_map, b.input_map)]
    for one, other in zip(a.layers, b.layers, strict=True):
        if not np.array_equal(one.channel_of, other.channel_of):
            return False
        if len(one.memories) != len(other.memories):
            return False
        pairs += zip(one.memories, other.memories, strict=True)
    return (a.board, a.clock_mhz, len(a.layers)) == (b.board, b.clock_mhz, len(b.layers)) and all(
        (one.name, one.fields, one.words) == (other.name, other.fields, other.words)
        for one, other in pairs
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def build(tmp_path: Path) -> Path:
    return PLAN.write(tmp_path / "build")


@pytest.mark.parametrize("kind", DESIGNS)
def test_a_build_reads_back_as_the_design_it_was(kind: str, tmp_path: Path) -> None:
    design = DESIGNS[kind]
    own = design.network.samples
    labels = np.arange(len(own))
    opened = open_build(emit(design, own, labels).write(tmp_path / "a" / "b"))
    assert equal(opened.design, design)
    assert ir_file.digest(opened.network) == ir_file.digest(design.network)
    assert np.array_equal(opened.images, own)
    assert np.array_equal(opened.labels, labels)
    assert opened.images.dtype == opened.labels.dtype == np.int64
    again = emit(opened.design, opened.images, opened.labels)
    first = emit(design, own, labels)
    assert dict(again.manifest) == dict(first.manifest)
    assert set(again.files) == set(first.files)
    assert all(again.files[name] == first.files[name] for name in first.files if ".npz" not in name)


def test_designs_that_differ_are_not_equal() -> None:
    assert not equal(DESIGNS["mlp"], schedule(NETWORKS["mlp"], BOARD, pes=6))
    assert not equal(DESIGNS["mlp"], schedule(NETWORKS["mlp"], BOARD, pes=5, clock_mhz=90.0))


def test_the_files_are_what_the_plan_says(build: Path) -> None:
    written = {str(path.relative_to(build)) for path in build.rglob("*") if path.is_file()}
    assert written == {*PLAN.files, MANIFEST}
    for name, content in PLAN.files.items():
        data = content.encode() if isinstance(content, str) else content
        assert (build / name).read_bytes() == data
    for layer in DESIGNS["mlp"].layers:
        for memory in layer.memories:
            lines = (build / "rtl" / "mem" / f"{memory.name}.mem").read_text().split()
            assert [int(line, 16) for line in lines] == memory.words
    assert names(build.parent) == ["build"]
    assert build.stat().st_mode & 0o777 == 0o755


def test_without_labels_they_are_unknown(build: Path) -> None:
    opened = open_build(build)
    assert opened.labels.tolist() == [-1] * 4
    assert np.array_equal(opened.images, NETWORKS["mlp"].samples)
    images, labels = opened.first_images(2)
    assert (len(images), len(labels)) == (2, 2)
    assert describe(opened) == {"model": "random1", "board": "pynq-z2", "build": str(build)}
    for count in (0, -1, 5):
        with pytest.raises(
            JpHwError, match=rf"holds 4 images, so --images can be 1 to 4, not {count}"
        ):
            opened.first_images(count)


def test_images_of_another_shape_but_the_same_size_are_taken(tmp_path: Path) -> None:
    images = np.arange(36).reshape(3, 2, 2, 3)
    opened = open_build(emit(DESIGNS["mlp"], images).write(tmp_path / "b"))
    assert np.array_equal(opened.images, images.reshape(3, 1, 1, 12))
    assert np.array_equal(
        golden.run(opened.network, opened.images), golden.run(NETWORKS["mlp"], images)
    )


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((2, 11), int), None, r"images of shape \(2, 11\)"),
        (np.zeros((2, 12)), None, "images of type float64"),
        (np.full((2, 12), 200), None, r"outside the input's range -128\.\.127"),
        (np.zeros((2, 12), int), np.zeros(3, int), r"2 images, but labels of shape \(3,\)"),
    ],
)
def test_images_that_do_not_fit_the_network_are_refused(
    images: np.ndarray, labels: np.ndarray | None, message: str
) -> None:
    with pytest.raises(JpHwError, match=message):
        emit(DESIGNS["mlp"], images, labels)


# --- writing -----------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_an_existing_build_is_kept_without_force(build: Path) -> None:
    (build / "sim").mkdir()
    (build / "sim" / "log").write_text("old")
    with pytest.raises(JpHwError, match="exists; give another folder with -o, or --force"):
        PLAN.write(build)
    assert (build / "sim" / "log").read_text() == "old"
    PLAN.write(build, force=True)
    assert set(contents(build)) == {*PLAN.files, MANIFEST}


def test_force_keeps_what_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("precious")
    with pytest.raises(JpHwError, match="is not a jp_hw build folder; --force will not replace it"):
        PLAN.write(tmp_path / "home", force=True)
    (tmp_path / "file").write_text("precious")
    with pytest.raises(JpHwError, match="is not a jp_hw build folder"):
        PLAN.write(tmp_path / "file", force=True)
    with pytest.raises(JpHwError, match="exists"):
        PLAN.write(tmp_path / "file")
    assert contents(tmp_path) == {"home/thesis.tex": b"precious", "file": b"precious"}


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert open_build(PLAN.write(tmp_path / "empty")).network.classes == 3


def test_a_parent_that_cannot_hold_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(JpHwError, match=r"cannot write in .*file: "):
        PLAN.write(tmp_path / "file" / "build")
    assert contents(tmp_path) == {"file": b"x"}


def test_an_unwritable_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**kwargs: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("jp_hw.plan.tempfile.mkdtemp", refuse)
    with pytest.raises(JpHwError, match=rf"cannot write in {tmp_path}: Permission denied"):
        PLAN.write(tmp_path / "build")
    assert not contents(tmp_path)


@pytest.mark.parametrize("force", [False, True])
def test_nothing_half_written_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, force: bool
) -> None:
    folder, written = tmp_path / "build", []
    if force:
        PLAN.write(folder)
    before = contents(tmp_path)
    plain = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        written.append(self)
        if len(written) == 10:
            raise OSError(28, "No space left on device")
        return plain(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(JpHwError, match=rf"cannot write {folder}: No space left on device"):
        PLAN.write(folder, force=force)
    assert len(written) == 10
    assert contents(tmp_path) == before
    assert names(tmp_path) == (["build"] if force else [])


@pytest.mark.parametrize("name", ["../out", "a/../../out", "/tmp/jp_hw_out"])
def test_names_that_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    plan = Plan({"fine": "x", name: "y"}, {})
    with pytest.raises(JpHwError, match=f"{name} would be written outside"):
        plan.write(tmp_path / "build")
    assert not contents(tmp_path)
    assert not Path("/tmp/jp_hw_out").exists()
    with pytest.raises(JpHwError, match="would be written outside"):
        write_inside(tmp_path, name, "x")


def test_a_link_that_leaves_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "link").symlink_to(tmp_path)
    with pytest.raises(JpHwError, match="would be written outside"):
        write_inside(tmp_path / "inside", "link/out", "x")
    assert write_inside(tmp_path / "inside", "a/b", "x").read_text() == "x"


# --- reading -----------------------------------------------------------------------------------


def refused(build: Path, message: str) -> None:
    with pytest.raises(JpHwError, match=message) as caught:
        open_build(build)
    assert "\n" not in str(caught.value)
    assert str(build) in str(caught.value)


def test_folders_that_are_no_builds(tmp_path: Path) -> None:
    refused(tmp_path, "is no build folder .no build.json.; make one with `jp-hw generate`")
    refused(tmp_path / "absent", "is no build folder")


def edit(build: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((build / MANIFEST).read_text())
    change(manifest)
    (build / MANIFEST).write_text(json.dumps(manifest))


MANIFESTS: list[tuple[str, Callable[[dict[str, Any]], object]]] = [
    (r"build.json is damaged .Extra inputs", lambda m: m.update(surprise=1)),
    (r"build.json is damaged .Field required", lambda m: m.pop("board")),
    (r"build.json is damaged .Input should be 'jp_hw-build-1'", lambda m: m.update(format="x")),
    ("build.json is damaged", lambda m: m["board"]["budget"].update(lut=0)),
    ("build.json is damaged", lambda m: m["placement"][0].update(channels="all")),
    ("build.json is damaged", lambda m: m["placement"][0].update(queue=17)),
    ("build.json is damaged", lambda m: m["placement"][0].update(slack=-1)),
    ("build.json is damaged", lambda m: m["placement"][0].update(joined="maybe")),
    ("is not the network of this build", lambda m: m.update(digest="0" * 64)),
    ("places other layers than the network has", lambda m: m["placement"].pop()),
    ("places other layers", lambda m: m["placement"][0].update(name="x")),
    ("layer layer0 is placed wrongly", lambda m: m["placement"][0].update(channels=[])),
    ("layer layer0 is placed wrongly", lambda m: m["placement"][0].update(channels=[[0, 1]])),
    ("placed wrongly", lambda m: m["placement"][0].update(channels=[[0, 1, 2], [3, 4]])),
    ("placed wrongly", lambda m: m["placement"][0].update(channels=[[0, 1, 2, 3, 4, 4]])),
    ("placed wrongly", lambda m: m["placement"][0].update(channels=[[0, 1, 2, 3, 4, 6]])),
]  # fmt: skip


@pytest.mark.parametrize(
    ("message", "change"), MANIFESTS, ids=lambda value: value[:30] if isinstance(value, str) else ""
)
def test_a_changed_manifest_is_refused(
    build: Path, message: str, change: Callable[[dict[str, Any]], object]
) -> None:
    edit(build, change)
    refused(build, message)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_a_manifest_that_is_no_json_object_is_refused(build: Path, text: bytes) -> None:
    (build / MANIFEST).write_bytes(text)
    refused(build, "build.json is damaged")


def test_another_network_or_none_is_refused(build: Path) -> None:
    path = build / "network.safetensors"
    ir_file.save(replace(NETWORKS["mlp"], input=replace(NETWORKS["mlp"].input, theta=1)), path)
    refused(build, "is not the network of this build; make the build anew")
    path.write_bytes(b"nothing")
    refused(build, "damaged or no safetensors file")
    path.unlink()
    refused(build, "no network file")


def test_samples_that_do_not_fit_are_refused(build: Path) -> None:
    path = build / "samples.npz"
    good = np.zeros((2, 1, 1, 12), np.int8)
    cases: list[tuple[str, dict[str, np.ndarray]]] = [
        ("missing or damaged", {"images": good}),
        ("images of another shape", {"images": np.zeros((2, 12), int), "labels": np.zeros(2, int)}),
        ("holds 2 images, but labels", {"images": good, "labels": np.zeros(3, int)}),
    ]
    for message, arrays in cases:
        np.savez(path, **arrays)
        refused(build, message)
    np.savez(path, images=np.array([{"a": 1}], object), labels=np.zeros(1, int))
    refused(build, "missing or damaged .Object arrays cannot be loaded")
    path.unlink()
    refused(build, "missing or damaged")


def test_flipped_bits_in_samples_are_noticed_or_harmless(build: Path) -> None:
    """Zip's checksums see to the data; whatever numpy and zipfile raise, the user sees one line."""
    path = build / "samples.npz"
    data, seen = path.read_bytes(), 0
    rng = np.random.default_rng(3)
    for place in range(0, len(data), 5):
        broken = bytearray(data)
        broken[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(broken)
        try:
            assert np.array_equal(open_build(build).images, NETWORKS["mlp"].samples)
        except JpHwError as error:
            assert "\n" not in str(error)
            seen += 1
    assert seen > 50
    path.write_bytes(data[: len(data) // 2])
    refused(build, "missing or damaged")


def test_the_build_s_network_is_the_design_s(build: Path) -> None:
    opened: Build = open_build(build)
    assert opened.network is opened.design.network
    assert opened.folder == build
