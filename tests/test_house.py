"""The house rules, kept by themselves: sizes, annotations, docstrings, and nothing that runs code from a file."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(path for package in ("lldm_aug", "nnunet_integration") for path in (ROOT / package).rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
LENGTHS = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
DISCOVER = ROOT / "nnunet_integration" / "discover"

UNSAFE_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
UNSAFE_CALLS = {"eval", "exec", "os.system", "os.popen", "yaml.load", "yaml.full_load", "yaml.unsafe_load"}
UNSAFE_KEYWORDS = {("allow_pickle", "True"), ("weights_only", "False"), ("shell", "True")}
GLOBAL_RANDOM = re.compile(
    r"(np|numpy)\.random\.(seed|rand\w*|choice|shuffle|permutation|uniform|normal)|random\.(seed|random)"
)


def functions():
    return [
        (path, node)
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]


def length(node):
    return node.end_lineno - node.lineno + 1


def arguments(node):
    every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
    return [a for a in every if a is not None and a.arg not in ("self", "cls")]


def place(path, node):
    return f"{path.relative_to(ROOT)}:{node.lineno}"


def calls():
    """Every call as (place, dotted name, keywords)."""
    for path, tree in TREES.items():
        for node in (n for n in ast.walk(tree) if isinstance(n, ast.Call)):
            yield place(path, node), ast.unparse(node.func), {(k.arg, ast.unparse(k.value)) for k in node.keywords}


def imported():
    """Every imported module as (place, name)."""
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            yield from ((place(path, node), name.split(".")[0]) for name in names)


def test_there_is_a_house():
    assert len(FILES) > 40


def test_files_are_short():
    assert {str(p): n for p, n in LENGTHS.items() if n > 500} == {}
    assert median(n for p, n in LENGTHS.items() if p.name != "__init__.py") <= 120


def test_functions_are_short():
    lengths = [length(node) for _, node in functions()]
    assert [place(path, node) for path, node in functions() if length(node) > 80] == []
    assert median(lengths) <= 10
    assert sorted(lengths)[int(0.9 * len(lengths))] <= 30


def test_every_argument_and_result_is_annotated():
    bare = [
        f"{place(path, node)} {node.name}"
        for path, node in functions()
        if node.returns is None or any(a.annotation is None for a in arguments(node))
    ]
    assert bare == []


def test_everything_public_has_a_docstring():
    bare = [str(path.relative_to(ROOT)) for path, tree in TREES.items() if ast.get_docstring(tree) is None]
    for path, tree in TREES.items():
        for node in tree.body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and not node.name.startswith("_"):
                members = node.body if isinstance(node, ast.ClassDef) else []
                methods = [m for m in members if isinstance(m, ast.FunctionDef) and not m.name.startswith("_")]
                bare += [f"{place(path, n)} {n.name}" for n in (node, *methods) if ast.get_docstring(n) is None]
    assert bare == []


def test_print_only_on_the_command_line():
    found = [
        place(path, node)
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print" and "cli" not in path.parts
    ]
    assert found == []


def test_star_import_only_in_the_shim():
    starred = [
        place(path, node)
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and any(a.name == "*" for a in node.names) and DISCOVER not in path.parents
    ]
    assert starred == []


def test_no_bare_or_empty_except():
    found = [
        place(path, node)
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]
    assert found == []


def test_nothing_runs_code_from_a_file():
    assert [found for found in imported() if found[1] in UNSAFE_MODULES] == []
    assert [found[:2] for found in calls() if found[1] in UNSAFE_CALLS or found[1].endswith(".extractall")] == []
    assert [found for found in calls() if found[2] & UNSAFE_KEYWORDS] == []


def test_weights_are_never_half_loaded():
    loads = [found for found in calls() if found[1].endswith("load_state_dict")]
    assert [found for found in loads if ("strict", "False") in found[2]] == []


def test_no_global_random_numbers():
    assert [found[:2] for found in calls() if GLOBAL_RANDOM.fullmatch(found[1])] == []
    # Networks draw their first weights from torch's global generator: it is seeded, and given back.
    seeding = [node for _, node in functions() if "torch.manual_seed(" in ast.unparse(node)]
    assert [node.name for node in seeding if "fork_rng" not in ast.unparse(node)] == []


@pytest.mark.parametrize("pattern", ["warnings.filterwarnings(", "sys.path.", "os.environ["])
def test_no_global_side_effects_on_import(pattern):
    found = [
        place(path, node)
        for path, tree in TREES.items()
        for node in tree.body
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef))
        and pattern in ast.unparse(node)
        and DISCOVER not in path.parents
    ]
    assert found == []
