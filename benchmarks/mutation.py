"""Mutants of the engine's step, of what ends training, and of the optimizers: small changes that tests should notice.

python -m benchmarks.mutation [sknnopt/engine/_step.py ...] [--every 1] [--seconds 30] [--out mutants.json]

The tests are collected once. A process forked from there runs them all and notes which lines of the files each of
them reaches; then each mutant has a process of its own, which takes over the changed functions and runs the tests that
reach the changed line, those first that have found others, until one fails. Prints the mutants that live, and counts.
"""

import argparse
import ast
import copy
import importlib
import inspect
import json
import os
import signal
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import coverage
import pytest
import torch

ROOT = Path(__file__).parent.parent
FILES = [f"engine/_{name}.py" for name in ("step", "member", "finite")] + ["optimizers/_*.py"]
TESTS = [
    "steps", "members", "engine", "optimizers", "optimizers_layers", "torch_optimizers", "divergence", "early_stopping",
    "averaging", "laws", "fit_weights", "partial_fit", "skorch", "regularization_layers", "independence", "fit_data",
    "adaptive", "transfer", "extremes",
]  # fmt: skip
LEFT_OUT = "n_jobs or every_embedding or every_activation or single_columns or every_penalty or every_normalization"
SWAPS: dict[type, type] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult, ast.Mod: ast.FloorDiv,
    ast.FloorDiv: ast.Div, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or,
    ast.Or: ast.And, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr,
}  # fmt: skip


def files() -> list[Path]:
    return sorted(path for pattern in FILES for path in (ROOT / "sknnopt").glob(pattern))


def changes(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes to put in this one's place."""
    if isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp) and type(node.op) in SWAPS:
        yield replaced(node, op=SWAPS[type(node.op)]())
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
        yield replaced(node, ops=[SWAPS[type(node.ops[0])](), *node.ops[1:]])
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield node.operand
    elif isinstance(node, ast.If | ast.IfExp | ast.While):
        yield replaced(node, test=ast.UnaryOp(ast.Not(), node.test))
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield ast.Constant(node.value + 1 if isinstance(node.value, int) else node.value * 2 or 1.0)
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield ast.Pass()
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr.rstrip("_") in IN_PLACE:
        yield node.func.value


IN_PLACE = {"mul", "add", "addcmul", "addcdiv", "lerp", "clamp", "sqrt", "square", "div", "sub", "neg", "abs", "copy"}


def replaced(node: ast.AST, **fields: Any) -> ast.AST:
    twin = copy.copy(node)
    for name, value in fields.items():
        setattr(twin, name, value)
    return twin


def mutants(path: Path) -> Iterator[tuple[range, int, str, ast.Module]]:
    """The function's lines, line, description and tree of each mutant of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for function, parent in functions_of(tree):
        for field, value in ast.iter_fields(parent):
            if field in ("annotation", "returns", "decorator_list") or isinstance(parent, ast.Raise | ast.Assert):
                continue
            for place, node in enumerate(value) if isinstance(value, list) else [(None, value)]:
                for new in changes(node) if isinstance(node, ast.AST) else ():
                    ast.fix_missing_locations(ast.copy_location(new, node))
                    put(parent, field, place, new)
                    described = f"{first_line(node)}  ->  {first_line(new)}"
                    lines = range(function.lineno, function.end_lineno or 0)
                    yield lines, node.lineno, described, copy.deepcopy(tree)  # type: ignore[attr-defined]
                    put(parent, field, place, node)


def functions_of(tree: ast.Module) -> Iterator[tuple[ast.FunctionDef, ast.AST]]:
    """Every node inside a function, with it; names and constants of modules and classes stay as they are."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            yield from ((node, inner) for inner in ast.walk(node) if not isinstance(inner, ast.JoinedStr))


def first_line(node: ast.AST) -> str:
    return ast.unparse(node).strip().splitlines()[0]


def put(parent: ast.AST, field: str, place: int | None, node: ast.AST) -> None:
    if place is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[place] = node


def take_over(module: Any, tree: ast.Module) -> None:
    """Give the module's functions, and its classes' methods, the code of the tree's."""
    fresh = {name: getattr(module, name) for name in ("__name__", "__package__", "__file__")}
    exec(compile(tree, module.__file__, "exec"), fresh)
    for name, own in vars(module).items():
        if getattr(own, "__module__", None) == module.__name__ and name in fresh:
            transplant(own, fresh[name])


def transplant(own: Any, new: Any) -> None:
    if inspect.isclass(own):
        for name, method in list(vars(own).items()):
            if name in vars(new):
                transplant(method, vars(new)[name])
        return
    if isinstance(own, property):
        own, new = own.fget, new.fget
    if hasattr(own, "cache_clear"):
        own.cache_clear()
    own, new = (getattr(inspect.unwrap(one), "__func__", inspect.unwrap(one)) for one in (own, new))
    if inspect.isfunction(own) and own.__code__.co_freevars == new.__code__.co_freevars:
        own.__code__, own.__defaults__, own.__kwdefaults__ = new.__code__, new.__defaults__, new.__kwdefaults__


class Hunt:
    """A plugin that in the place of running the tests once runs some of them against each mutant."""

    def __init__(self, files: list[Path], options: argparse.Namespace) -> None:
        self.files, self.options = files, options
        self.found: dict[str, dict[str, Any]] = {}
        self.before = json.loads(options.again.read_text(encoding="utf-8")) if options.again else {}

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        torch.set_num_threads(1)
        self.session, self.items = session, {item.nodeid: item for item in session.items}
        reached, seconds = self.in_a_fork(self.look, 3600)[1]
        killers: Counter[str] = Counter()
        for path in self.files:
            module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
            for lines, line, described, tree in list(mutants(path))[:: self.options.every]:
                label = f"{path.relative_to(ROOT)}:{line}: {described} #{len(self.found)}"
                if self.before.get(label, {}).get("fate") == "killed":
                    self.found[label] = self.before[label]
                    continue
                near = reached.get(f"{path}:{line}", [])
                near = near or list({test for one in lines for test in reached.get(f"{path}:{one}", [])})
                order = sorted(near, key=lambda test: (-killers[test], seconds[test]))
                end, killer = self.in_a_fork(lambda: self.hunt(module, tree, order), self.options.seconds)  # noqa: B023
                killers[killer or ""] += 1
                fate = "timeout" if end else "killed" if killer else "lives" if near else "not reached"
                self.found[label] = {"fate": fate, "by": killer}
                if fate in ("lives", "not reached"):
                    print(f"{fate}: {label} ({len(near)} tests)", flush=True)
        return True

    def look(self) -> tuple[dict[str, list[str]], dict[str, float]]:
        """Which tests reach each line, and how long each takes; they must all pass."""
        measured = coverage.Coverage(data_file=None, include=[str(path) for path in self.files], config_file=False)
        seconds = {}
        measured.start()
        for name in self.items:
            measured.switch_context(name)
            start = time.process_time()
            assert not self.fails(name), name
            seconds[name] = time.process_time() - start
        measured.stop()
        reached = defaultdict(list)
        for path in self.files:
            for line, tests in measured.get_data().contexts_by_lineno(str(path)).items():
                reached[f"{path}:{line}"] = [test for test in tests if test]
        return reached, seconds

    def hunt(self, module: Any, tree: ast.Module, tests: list[str]) -> str | None:
        try:
            take_over(module, tree)
        except Exception:
            return "not importable"
        spent = time.process_time() + self.options.seconds / 2
        return next((name for name in tests if time.process_time() < spent and self.fails(name)), None)

    def fails(self, name: str) -> bool:
        before = self.session.testsfailed
        item = self.items[name]
        item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
        return self.session.testsfailed > before

    def in_a_fork(self, work: Any, seconds: float) -> tuple[int, Any]:
        """The signal that ended a process that did this, and what it returned."""
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            signal.setitimer(signal.ITIMER_PROF, seconds)
            signal.alarm(int(20 * seconds))  # where it waits for itself
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), 1)
            try:
                answer = json.dumps(work())
                with open(writer, "w") as pipe:
                    pipe.write(answer)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)
        os.close(writer)
        with open(reader) as pipe:
            answer = pipe.read()
        status = os.waitpid(child, 0)[1]
        return (0, json.loads(answer)) if answer else (status or -1, None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, default=files())
    parser.add_argument("--every", type=int, default=1, help="take each nth mutant of a file")
    parser.add_argument("--seconds", type=int, default=30, help="of processor time for one mutant")
    parser.add_argument("--tests", nargs="*", default=TESTS)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--again", type=Path, help="an earlier --out: those that died there are not tried again")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    hunt = Hunt([path.resolve() for path in options.files], options)
    tests = [str(ROOT / "tests" / f"test_{name}.py") for name in options.tests]
    without = [word for name in ("cacheprovider", "timeout", "randomly") for word in ("-p", f"no:{name}")]
    chosen = [*tests, "-k", f"not ({LEFT_OUT})"]
    pytest.main(["-q", "-n", "0", "--capture=no", *without, *chosen], plugins=[hunt])
    fates = Counter(one["fate"] for one in hunt.found.values())
    print(f"{len(hunt.found)} mutants: " + ", ".join(f"{count} {fate}" for fate, count in fates.most_common()))
    if options.out:
        options.out.write_text(json.dumps(hunt.found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
