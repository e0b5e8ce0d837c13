"""The reference pages are what the code says, and every page can be reached."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
assert spec is not None
assert spec.loader is not None
generate = importlib.util.module_from_spec(spec)
spec.loader.exec_module(generate)


@pytest.mark.parametrize("name", sorted(generate.pages()))
def test_a_generated_page_is_what_the_code_says(name: str) -> None:
    committed = (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")
    assert committed == generate.pages()[name], "run: python docs/generate.py"


def markdown() -> list[Path]:
    top = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]
    return top + [path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts]


@pytest.mark.parametrize("path", markdown(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_link_between_files_is_broken(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (path.parent / target).exists(), target


def test_every_command_that_the_readme_names_exists() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"`make ([a-z]+)`|^make ([a-z]+)$", text, flags=re.MULTILINE)
    assert targets
    for target in ("".join(each) for each in targets):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), f"make {target}"
    commands = generate.pages()["cli.md"]
    for command in re.findall(r"\bnatless ([a-z]+)\b", " ".join(re.findall(r"`([^`]+)`", text))):
        assert f"## natless {command}\n" in commands, f"natless {command}"
