"""The merge of Verilator's coverage files."""

from pathlib import Path

from rtl_tests.coverage import merge, numbers, summary


def point(
    line: int, page: str, name: str, count: int, lines: str = "", file: str = "jp_fork"
) -> str:
    fields = {"f": f"/x/{file}.sv", "l": str(line), "n": "3", "page": f"{page}/{file}", "o": name}
    fields |= {"S": lines} if lines else {}
    text = "".join(f"\x01{key}\x02{value}" for key, value in fields.items())
    return f"C '{text}\x01hTOP' {count}\n"


def test_points_of_all_runs_add_up(tmp_path: Path) -> None:
    (tmp_path / "a.dat").write_text(
        "# SystemC::Coverage-3\n"
        + point(4, "v_line", "block", 3, "4-5,8")
        + point(9, "v_branch", "if", 0, "9")
        + point(9, "v_branch", "else", 2, "10")
        + point(2, "v_toggle", "valid_i:0->1", 1)
        + point(2, "v_toggle", "valid_i:1->0", 0)
    )
    (tmp_path / "b.dat").write_text(
        point(9, "v_branch", "if", 0, "9")
        + point(2, "v_toggle", "valid_i:1->0", 5)
        + point(7, "v_line", "block", 0, "7", file="not_ours")
    )
    result = summary(merge(sorted(tmp_path.glob("*.dat"))))
    fork = result["modules"]["jp_fork.sv"]
    assert (fork["lines"], fork["lines_percent"], fork["lines_missed"]) == (5, 80.0, [9])
    assert (fork["branches_percent"], fork["branches_missed"]) == (50.0, ["9: if"])
    assert (fork["toggles"], fork["toggles_percent"]) == (2, 100.0)
    assert result["total"]["lines_percent"] == 80.0
    assert "jp_pe.sv" in result["modules_never_run"]
    assert set(result["modules"]) == {"jp_fork.sv"}


def test_spans_of_lines() -> None:
    assert list(numbers("12-14,16")) == [12, 13, 14, 16]
