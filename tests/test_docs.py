"""The pages: each python block runs and prints what the page says; the tables are those of the registries."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parent.parent / "docs"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check = load("check")


@pytest.mark.parametrize("page", check.PAGES, ids=lambda page: page.name)
def test_blocks_run_and_print_what_the_page_says(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert check.run_page(text, page.name) == text, "python docs/check.py --write puts the real output there"


def test_tables_are_those_of_the_registries() -> None:
    tables = load("make_tables")
    assert tables.PAGE.read_text(encoding="utf-8") == tables.page(), "run python docs/make_tables.py"


def test_pages_link_only_to_files_that_exist() -> None:
    broken = [
        f"{page.name}: {link}"
        for page in check.PAGES
        for link in check.re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if not (page.parent / link).exists()
    ]
    assert broken == []


@pytest.mark.parametrize(
    ("expected", "got", "same"),
    [
        ("accuracy 0.970\n", "accuracy 0.965\n", True),
        ("accuracy 0.970\n", "accuracy 0.900\n", False),
        ("12 epochs\n", "13 epochs\n", False),
        ("adam 0.97\n", "sgd 0.97\n", False),
    ],
)
def test_only_decimals_may_differ_a_little(expected: str, got: str, same: bool) -> None:
    assert check.same_output(expected, got) is same


def test_blocks_share_a_namespace_and_a_wrong_output_is_replaced() -> None:
    page = "```python\nx = 2\n```\n\n```python\nprint(x + 1)\n```\n\n```text\n4\n```\n"
    assert check.run_page(page, "page.md") == page.replace("4", "3")


def test_a_warning_in_a_block_is_an_error() -> None:
    with pytest.raises(UserWarning, match="careful"):
        check.run_page("```python\nimport warnings\nwarnings.warn('careful')\n```\n", "page.md")
