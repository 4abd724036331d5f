"""Verilator's runtime is the same in every build: compile it once a session, not once a test."""

from collections.abc import Iterator

import pytest

# $@ is the compiler's command; only files of Verilator's own, which include nothing of a design,
# are shared
SCRIPT = """#!/bin/sh
for word; do
  case "$previous $word" in
    "-o "*) object=$word ;;
    *"/include/verilated"*.cpp) runtime=$word ;;
  esac
  previous=$word
done
[ -n "$runtime" ] && [ -n "$object" ] || exec "$@"
key="$(dirname "$0")/$(printf '%s' "$*" | cksum | tr ' ' _).o"
if [ ! -f "$key" ]; then
  "$@" && cp "$object" "$key.$$" && mv "$key.$$" "$key"
else
  cp "$key" "$object"
fi
"""


@pytest.fixture(scope="session", autouse=True)
def compile_runtime_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    script = tmp_path_factory.mktemp("objects") / "compile.sh"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OBJCACHE", str(script))
        yield
