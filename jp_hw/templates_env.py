"""The one Jinja environment that renders every generated text."""

from collections.abc import Iterable

import jinja2

from jp_hw.resources import data_dir


def _commented(text: str, mark: str = "//") -> str:
    return "\n".join(f"{mark} {line}".rstrip() for line in text.splitlines())


def _hexadecimal(words: Iterable[int], width: int) -> str:
    digits = -(-width // 4)
    return "".join(f"{word:0{digits}x}\n" for word in words)


def render(template: str, **values: object) -> str:
    """Render a template under `templates/`; a name that it uses and nobody gave is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(data_dir("templates")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - Verilog and C++, not HTML
    )
    environment.filters["commented"] = _commented
    environment.filters["hexadecimal"] = _hexadecimal
    return environment.get_template(template).render(**values)


def static(name: str) -> str:
    """Text of a file under `templates/` that is used as it is."""
    return (data_dir("templates") / name).read_text(encoding="utf-8")
