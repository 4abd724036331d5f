"""Deployment to a real sshd, the simulated board behind it: good, and in every bad way."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from board_driver import spoiled, state, unharmed
from sshd import Cable, Sshd, free_port, keygen, sshd

from jp_hw import golden
from jp_hw.build import Build
from jp_hw.bundle import MANIFEST
from jp_hw.deploy import Remote, deploy, read_bundle
from jp_hw.errors import JpHwError
from jp_hw.ssh import Host


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running


def jp_hw(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from jp_hw.cli import main; main()", *map(str, words)]
    kept = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=kept, timeout=240
    )


def line(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that a command fails with."""
    assert done.returncode == 2, done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), done.stderr
    return lines[0]


def there(server: Sshd, **changes: object) -> Host:
    options = {"key": server.key, "known_hosts": server.known_hosts, **changes}
    return Host.parse(server.host, **options)


def remote(folder: Path, timeout: float = 20.0) -> Remote:
    return Remote(str(folder), sys.executable, timeout)


@pytest.fixture
def deployed(server: Sshd, board_bundle: Path, tmp_path: Path) -> Path:
    """A folder of the board that has a working bundle."""
    folder = tmp_path / "on_board"
    deploy(board_bundle, there(server), remote(folder))
    return folder


def test_deploy_and_run_as_a_user_types_them(
    server: Sshd, board_build: Build, board_bundle: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "on board"  # a name that has to be quoted
    options = server.options(folder)
    done = jp_hw("deploy", board_build.folder, "--host", server.host, *options, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["self_test"]["passed"] and result["self_test"]["counters_exact"]
    assert result["previous"] is None
    assert state(folder) == (f"bundles/{result['bundle']}", [result["bundle"]])
    np.save(tmp_path / "images.npy", board_build.images)
    words = ("run", board_build.folder, "--images", tmp_path / "images.npy", "--json")
    there = json.loads(jp_hw(*words, "--target", server.host, *options).stdout)
    here = json.loads(jp_hw(*words).stdout)
    expected = golden.run(board_build.network, board_build.images)
    assert there["logits"] == here["logits"] == expected.tolist()
    assert there["images"] == here["images"]
    assert [image["class"] for image in here["images"]] == expected.argmax(1).tolist()
    assert here["images"][1]["name"] == "images.npy[1]"
    assert all(0 < image["score"] <= 1 for image in here["images"])
    assert not list(Path("/tmp").glob("jp_hw-*.npy"))


def test_what_deploy_and_run_print(
    server: Sshd, board_build: Build, board_bundle: Path, tmp_path: Path
) -> None:
    options = server.options(tmp_path / "b")
    done = jp_hw("deploy", board_build.folder, "--host", server.host, *options)
    assert done.returncode == 0, done.stderr
    assert "Counters of the self-test, 4 images" in done.stdout
    assert "all 20 logits and the counters are as recorded" in done.stdout
    assert re.search(r"bundle [0-9a-f]{16} is now current\n", done.stdout)
    np.save(tmp_path / "one.npy", board_build.images[0])
    done = jp_hw("run", board_build.folder, "--images", tmp_path / "one.npy")
    assert done.returncode == 0, done.stderr
    assert re.search(r"one\.npy +│ +\d +│ +[0-9.]+ % +│ +[0-9.]+ us", done.stdout)


def test_a_new_bundle_replaces_and_keeps_the_one_before(
    server: Sshd, board_bundle: Path, deployed: Path, tmp_path: Path
) -> None:
    first = state(deployed)[1][0]
    names = [first]
    for i in range(2):
        other = spoiled(board_bundle, tmp_path / f"other{i}", note=i)
        done = deploy(other, there(server), remote(deployed))
        assert done.previous == names[-1]
        names.append(done.bundle)
    assert state(deployed) == (f"bundles/{names[2]}", sorted(names[1:]))


def test_leftovers_of_a_broken_copy_are_removed(
    server: Sshd, board_bundle: Path, deployed: Path
) -> None:
    (deployed / "bundles" / ".incoming-dead" / "x").mkdir(parents=True)
    before = state(deployed)
    deploy(board_bundle, there(server), remote(deployed))
    assert state(deployed) == (before[0], [n for n in before[1] if not n.startswith(".")])


@pytest.mark.parametrize("silent", [False, True])
def test_a_cable_pulled_in_mid_copy(
    server: Sshd, board_bundle: Path, deployed: Path, tmp_path: Path, silent: bool
) -> None:
    cable = Cable(server.port, 400_000, silent=silent)
    known = tmp_path / "known"
    known.write_text(server.known_hosts.read_text().replace(str(server.port), str(cable.port)))
    host = Host("127.0.0.1", server.user, cable.port, known, server.key, alive=0.5)
    with unharmed(deployed):
        with pytest.raises(JpHwError, match=r"^the connection to \S+ was lost") as caught:
            deploy(board_bundle, host, remote(deployed))
        assert cable.cut.is_set()
        assert "\n" not in str(caught.value)
        cable.close()
    before = state(deployed)
    deploy(board_bundle, there(server), remote(deployed))
    leftover = [name for name in before[1] if name.startswith(".")]
    assert state(deployed) == (before[0], [name for name in before[1] if name not in leftover])


def test_a_wrong_digest(server: Sshd, board_bundle: Path, deployed: Path, tmp_path: Path) -> None:
    """The board's file server flips a byte of what it writes, as a bad SD card does."""
    spoil = tmp_path / "spoil.sh"
    spoil.write_text(
        f"#!/bin/sh\n(for i in $(seq 1000); do for d in {deployed}/bundles/.incoming-*; do\n"
        "if [ -e $d/vectors.npz ]; then echo >> $d/overlay.hwh; exit; fi; done; sleep 0.01\n"
        "done) >&- &\n"
        'exec /usr/lib/openssh/sftp-server "$@"\n'
    )
    spoil.chmod(0o755)
    with sshd(tmp_path / "bad", sftp=str(spoil)) as bad, unharmed(deployed):
        with pytest.raises(JpHwError) as caught:
            deploy(board_bundle, there(bad), remote(deployed))
        assert re.match(
            r"overlay\.hwh did not arrive on \S+ as it was sent \(wrong digest\); deploy again",
            str(caught.value),
        )


def test_a_changed_bundle_is_not_sent(server: Sshd, board_bundle: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(board_bundle, tmp_path / "bundle")
    (bundle / "overlay.bit").write_bytes(b"other")
    with pytest.raises(
        JpHwError, match=r"overlay\.bit was changed; make the bundle anew: jp-hw build"
    ):
        deploy(bundle, there(server), remote(tmp_path / "b"))
    (bundle / MANIFEST).unlink()
    with pytest.raises(JpHwError, match="is no whole bundle"):
        deploy(bundle, there(server), remote(tmp_path / "b"))
    assert not (tmp_path / "b").exists()


def test_a_wrong_board(server: Sshd, board_bundle: Path, deployed: Path, tmp_path: Path) -> None:
    with (
        sshd(tmp_path / "zcu", {"BOARD": "ZCU104"}) as other,
        unharmed(deployed),
        pytest.raises(JpHwError) as caught,
    ):
        deploy(board_bundle, there(other), remote(deployed))
    assert str(caught.value) == (
        f"the self-test on {other.host} failed: this board is a ZCU104, the overlay is for pynq-z2"
    )


@pytest.mark.skipif(os.getuid() != 0, reason="only root mounts a small file system")
@pytest.mark.parametrize("share", [0.1, 1.05])
def test_a_full_disk(server: Sshd, board_bundle: Path, tmp_path: Path, share: float) -> None:
    """A file system with far too little room, and one that would be left with none."""
    disk = tmp_path / "disk"
    disk.mkdir()
    size = int(share * sum(map(len, read_bundle(board_bundle).values())))
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)], check=True)
    try:
        folder = disk / "b"
        with pytest.raises(JpHwError) as caught:
            deploy(board_bundle, there(server), remote(folder))
        assert re.match(
            r"the disk of \S+ is full: [\d,]+ bytes are free, the bundle needs [\d,]+",
            str(caught.value),
        )
        assert not list((folder / "bundles").iterdir())
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_fills_up_in_mid_copy(
    server: Sshd, board_bundle: Path, deployed: Path, tmp_path: Path
) -> None:
    small = tmp_path / "small.sh"
    small.write_text(
        "#!/bin/sh\ntrap '' XFSZ\nulimit -f 100\nexec /usr/lib/openssh/sftp-server \"$@\"\n"
    )
    small.chmod(0o755)
    with (
        sshd(tmp_path / "full", sftp=str(small)) as full,
        unharmed(deployed),
        pytest.raises(JpHwError) as caught,
    ):
        deploy(board_bundle, there(full), remote(deployed))
    assert re.match(
        r"logic/Vjp_board cannot be written to \S+: .*; what was there before is in place",
        str(caught.value),
    )


def test_a_hung_accelerator(
    server: Sshd, board_bundle: Path, deployed: Path, tmp_path: Path
) -> None:
    hung = spoiled(board_bundle, tmp_path / "hung", lose_beats=1 << 30)
    with unharmed(deployed), pytest.raises(JpHwError) as caught:
        deploy(hung, there(server), remote(deployed, timeout=0.3))
    assert str(caught.value) == (
        f"the self-test on {server.host} failed: the accelerator did not answer 1 images within 0.3 s; "
        "it was reset"
    )


def test_no_pynq_on_the_board(server: Sshd, board_bundle: Path, deployed: Path) -> None:
    with (
        unharmed(deployed),
        pytest.raises(JpHwError, match="nopython: command not found"),
    ):
        deploy(board_bundle, there(server), Remote(str(deployed), "nopython"))


def test_host_keys_are_checked(
    server: Sshd, board_build: Build, board_bundle: Path, tmp_path: Path
) -> None:
    nothing = tmp_path / "nothing"
    other = tmp_path / "other"
    wrong = keygen(tmp_path / "wrong").with_suffix(".pub").read_text()
    other.write_text(f"[127.0.0.1]:{server.port} {wrong}")
    for known in (nothing, other):
        told = line(
            jp_hw(
                "deploy",
                board_build.folder,
                "--host",
                server.host,
                "--known-hosts",
                known,
                "--key",
                server.key,
            )
        )
        assert re.search(
            rf"host key of 127\.0\.0\.1, SHA256:\S+, is not the one in {known}; .* accept it: "
            "ssh-keyscan -p "
            rf"{server.port} 127\.0\.0\.1 >> {known}",
            told,
        )
    assert not nothing.exists()
    scan = subprocess.run(
        ["ssh-keyscan", "-p", str(server.port), "127.0.0.1"], capture_output=True, check=True
    )
    nothing.write_bytes(scan.stdout)
    host = Host.parse(server.host, key=server.key, known_hosts=nothing)
    assert deploy(board_bundle, host, remote(tmp_path / "b")).report["passed"]


def test_logins_and_addresses_that_do_not_work(
    server: Sshd, board_bundle: Path, tmp_path: Path
) -> None:
    folder = remote(tmp_path / "b")
    with pytest.raises(JpHwError, match=r"refuses the login: give --key FILE or --ask-password"):
        deploy(board_bundle, there(server, key=keygen(tmp_path / "stranger")), folder)
    with pytest.raises(JpHwError, match=r"the key .*none cannot be used"):
        deploy(board_bundle, there(server, key=tmp_path / "none"), folder)
    port = free_port()
    with pytest.raises(JpHwError, match=f"cannot reach 127.0.0.1, port {port}: "):
        deploy(board_bundle, Host("127.0.0.1", "x", port, server.known_hosts, server.key), folder)
    for text in ("", "@b", "b:", "b:x"):
        with pytest.raises(JpHwError, match="give NAME, USER@NAME or USER@NAME:PORT"):
            Host.parse(text)
    assert Host.parse("pynq").shown == "xilinx@pynq"
    assert Host.parse("root@b:2222").shown == "root@b:2222"
    with pytest.raises(JpHwError, match="is no folder's name"):
        Remote("~/x")


def test_run_on_a_board_with_another_network(
    server: Sshd, board_build: Build, deployed: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "images.npy", board_build.images)
    words = (
        "run",
        board_build.folder,
        "--images",
        tmp_path / "images.npy",
        "--target",
        server.host,
    )
    manifest = deployed / "current" / MANIFEST
    text = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**text, "digest": "0" * 64}))
    assert "has network random1 0000000000000000, not this build's; deploy it" in line(
        jp_hw(*words, *server.options(deployed))
    )
    told = line(jp_hw(*words, *server.options(tmp_path / "empty")))
    assert "has no bundle yet; deploy one: jp-hw deploy" in told


def test_without_a_bundle(board_build: Build, tmp_path: Path) -> None:
    build = shutil.copytree(
        board_build.folder, tmp_path / "b", ignore=shutil.ignore_patterns("bundle", "sim")
    )
    told = line(jp_hw("deploy", build, "--host", "nowhere"))
    assert told == f"error: {build} has no bitstream yet; make one: jp-hw build {build}"
