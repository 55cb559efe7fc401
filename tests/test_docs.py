"""The pages: each python block runs and prints what the page says; the tables are those of the registries."""

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from test_architecture import LAYERS

from sknnopt import activations, averaging, embeddings, initializers, losses, optimizers, regularization, schedules

ROOT = Path(__file__).parent.parent
DOCS = Path(__file__).parent.parent / "docs"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DOCS))
        spec.loader.exec_module(module)
    return module


check, tables, figures, site = load("check"), load("make_tables"), load("make_figures"), load("site_parts")
PARTS = tables.parts()
ENTRIES = [
    pytest.param(entry, id=f"{title.split('`')[-2] if '`' in title else 'parameter'}-{entry.names[0]}")
    for title, entries in PARTS.items()
    for entry in entries
]
NAMED = [activations, averaging, embeddings, initializers, losses, optimizers, regularization, schedules]


@pytest.mark.parametrize("page", check.PAGES, ids=lambda page: page.name)
def test_blocks_run_and_print_what_the_page_says(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert check.run_page(text, page.name) == text, "python docs/check.py --write puts the real output there"


def test_tables_are_those_of_the_registries() -> None:
    assert tables.PAGE.read_text(encoding="utf-8") == tables.page(), "run python docs/make_tables.py"


@pytest.mark.parametrize("path", figures.files(), ids=lambda path: path.name)
def test_figures_are_those_of_the_records(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == figures.files()[path], "run python docs/make_figures.py"


def test_the_drawn_layers_are_the_layers() -> None:
    drawn = {int(number): set(names.split(" · ")) - {"…"} for number, names, _ in figures.LAYERS}
    assert [drawn[number] for number in range(1, 7)] == LAYERS[1:-1]
    assert drawn[0] <= LAYERS[0]


def test_every_page_stands_in_the_site_once_and_is_linked_where_it_stands() -> None:
    pages = {page.stem for page in DOCS.glob("*.md")} - {"index"}
    places = [(page, name) for page, parts in site.SECTIONS.items() for names in parts.values() for name in names]
    assert pages - {name for _, name in places} == set()
    assert len({name for _, name in places}) == len(places)
    texts = {page: (DOCS / f"{page}.md").read_text(encoding="utf-8") for page in site.SECTIONS}
    assert [name for page, name in places if name in pages and f"]({name}.md)" not in texts[page]] == []


def test_the_api_has_every_public_module() -> None:
    public = {path.name for path in (ROOT / "sknnopt").iterdir() if path.is_dir() and path.name[0] != "_"}
    assert {name.partition(".")[2] for name in site.MODULES} - {""} == public - {"engine", "estimators"}


def collected(tests: set[str]) -> list[str]:
    """Every case of these tests' files, as pytest finds them."""
    files = sorted({test.partition("::")[0] for test in tests})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *files]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def source(test: str) -> str:
    """The function's text, with its decorators."""
    path, *names = test.split("::")
    text = (ROOT / path).read_text(encoding="utf-8")
    node: ast.AST = ast.parse(text)
    for name in names:
        node = next(child for child in ast.iter_child_nodes(node) if getattr(child, "name", None) == name)
    assert isinstance(node, ast.FunctionDef)
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return "\n".join(text.splitlines()[first - 1 : node.end_lineno])


def says(text: str, word: str) -> bool:
    return re.search(rf"(?<![a-z0-9_]){re.escape(word.casefold())}(?![a-z0-9_])", text.casefold()) is not None


def is_about(entry, arguments: list[str]) -> bool:
    """Whether one of a test's cases names the technique, or the test itself does: in its name or its text."""
    words = [*entry.names, *(name.replace("_", " ") for name in entry.names)]
    words += [] if entry.kind is object else [entry.kind.__name__, f"Test{entry.kind.__name__}"]
    name = entry.test.rpartition("::")[2].replace("_", " ")
    texts = [*arguments, entry.test, name, source(entry.test)]
    return any(says(text, word) for text in texts for word in words)


def without_reference(entries, found: list[str]) -> list:
    """The names whose test is not among these cases, or is not about them."""
    arguments: dict[str, list[str]] = {}
    for case in found:
        test, _, rest = case.partition("[")
        arguments.setdefault(test, []).append(rest)
    return [
        (entry.names, entry.test)
        for entry in entries
        if entry.test not in arguments or not is_about(entry, arguments[entry.test])
    ]


def test_every_name_has_a_reference_test_that_is_about_it(request: pytest.FixtureRequest) -> None:
    entries = [parameter.values[0] for parameter in ENTRIES]
    if without_reference(entries, [item.nodeid for item in request.session.items]):  # as of a few files alone
        assert without_reference(entries, collected({entry.test for entry in entries})) == []
    assert without_reference(entries, []) == [(entry.names, entry.test) for entry in entries]


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_name_has_all_that_the_tables_tell(entry) -> None:
    assert re.fullmatch(r"\S.*[.\w`?]", entry.summary), "the docstring's first paragraph"
    assert tables.paper(entry.references), 'a section "References": Authors, "Title", year'
    assert entry.cohort
    if entry.kind is not object:
        assert ">>> " in entry.kind.__doc__


@pytest.mark.parametrize("module", NAMED, ids=lambda module: module.__name__)
def test_every_name_of_every_registry_is_in_the_tables(module: ModuleType) -> None:
    parts = [entries for title, entries in PARTS.items() if f"`{module.__name__}`" in title]
    assert {name for entries in parts for entry in entries for name in entry.names} == set(module.names())


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ('Gauss, "Theoria", 1821.', "Gauss 1821, *Theoria*"),
        ('Kingma and Ba, "Adam: a method", 2015, algorithm 1.', "Kingma and Ba 2015, *Adam: a method*"),
        (
            'He, Zhang, Ren and Sun, "Delving", 2015; squared: Tang, "Deep", 2013.',
            "He et al. 2015, *Delving*; Tang 2013",
        ),
        ('A et al., "B", 2015; with the slope of Howard et al., "C", 2019.', "A et al. 2015, *B*; Howard et al. 2019"),
        ("Somebody said so.", ""),
    ],
)
def test_papers_are_told_briefly(text: str, short: str) -> None:
    assert tables.paper(text) == short


@pytest.mark.parametrize(
    ("values", "structure", "expected"),
    [
        ([0.0, 0.5, 0.9], lambda value: 0, ""),
        ([0.0, 0.5, 0.9], lambda value: value > 0, "`p=0`"),
        ([False, True], lambda value: value, "`p`"),
        ([1, 2, 3], lambda value: value, "`p`"),
        ([1, 2, 3, 4], lambda value: value > 2, "`p`"),
    ],
)
def test_what_splits_is_found_by_trying(values, structure, expected) -> None:
    assert tables.splitting("p", values, structure) == expected


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
