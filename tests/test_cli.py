"""The command line: instant help, clean errors, nothing but results on stdout."""

from __future__ import annotations

import errno
import inspect
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from pools import provenance, write_pool

from lldm_aug import __version__
from lldm_aug.cli import COMMANDS, main
from lldm_aug.cli.lazy import LazyGroup
from lldm_aug.cli.options import config_option, dry_run_option, fold_option, seed_option, set_option
from lldm_aug.cli.progress import progress_bar, track
from lldm_aug.errors import ConfigError, InvalidVolume

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "monai", "nnunetv2", "diffusers", "accelerate", "matplotlib", "scipy", "nibabel")


def python(script, *args, **options):
    command = [sys.executable, "-c", script, *args]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, **options)


def invoke(*args):
    return CliRunner().invoke(main, list(map(str, args)))


def test_help_answers_within_half_a_second():
    """Of the processor's time: the clock's depends on what else runs."""
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "lldm_aug", "--help"], check=True, capture_output=True, cwd=ROOT)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < 0.5


def subcommands(command, path):
    yield path
    if isinstance(command, click.Group):
        for name in command.list_commands(None):
            yield from subcommands(command.get_command(None, name), (*path, name))


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_imports_nothing_heavy(name):
    script = f"""
import sys
from lldm_aug.cli import main
try:
    main({[name] if name else []} + ["--help"])
finally:
    print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)
"""
    done = python(script)
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: ")
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name):
    for path in subcommands(main.get_command(None, name), (name,)):
        for flag in ("-h", "--help"):
            result = invoke(*path, flag)
            assert result.exit_code == 0
            assert "Usage: " in result.output


def test_help_lists_each_command_with_its_line():
    output = " ".join(invoke("--help").output.split())
    for name, (_, text) in COMMANDS.items():
        assert f"{name} {text}" in output


def test_version():
    assert __version__ in invoke("--version").output


@pytest.mark.parametrize(
    "args", [["nonsense"], ["--nonsense"], ["pool"], ["pool", "verify"], ["pool", "verify", "gone"]]
)
def test_wrong_usage_exits_with_2(args):
    assert invoke(*args).exit_code == 2


FAILURES = {
    "config": (
        ConfigError("unknown key 'x'", where="a.yaml:3", fix="write y"),
        2,
        "a.yaml:3: unknown key 'x'. Write y.",
    ),
    "volume": (InvalidVolume("torn\n apart"), 1, "torn apart."),
    "interrupt": (KeyboardInterrupt(), 130, "interrupted"),
    "full": (OSError(errno.ENOSPC, "No space left on device", "a.nii"), 1, "a.nii: No space left on device"),
}


def failing(error):
    @click.group(cls=LazyGroup, commands_table={"fail": ("test_cli:fail_now", "Fail.")})
    def group():
        """Fails."""

    @click.command()
    def fail():
        raise error

    globals()["fail_now"] = fail
    return group


@pytest.mark.parametrize(("error", "code", "message"), FAILURES.values(), ids=FAILURES)
def test_error_is_one_line_on_stderr_and_its_exit_code(error, code, message):
    result = CliRunner().invoke(failing(error), ["fail"])
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert message in result.stderr


@pytest.mark.parametrize("error", [RuntimeError("a fault of ours"), OSError(errno.EBADF, "odd")])
def test_faults_of_ours_keep_their_traceback(error):
    result = CliRunner().invoke(failing(error), ["fail"])
    assert result.exception is error


def test_shared_options():
    @click.command()
    @config_option
    @set_option
    @dry_run_option
    @seed_option
    @fold_option
    def command(**values):
        print(json.dumps(values))

    def run(*args):
        return CliRunner().invoke(command, args)

    assert json.loads(run().output) == {"config": None, "overrides": [], "dry_run": False, "seed": 0, "fold": None}
    given = run("--config", "small", "--set", "a=1", "--set", "b=[1, 2]", "--dry-run", "--seed", "7", "--fold", "all")
    expected = {"config": "small", "overrides": ["a=1", "b=[1, 2]"], "dry_run": True, "seed": 7, "fold": "all"}
    assert json.loads(given.output) == expected
    assert json.loads(run("--fold", "3").output)["fold"] == 3
    for wrong in (["--fold", "x"], ["--fold", "-1"], ["--seed", "-1"], ["--seed", "x"]):
        assert run(*wrong).exit_code == 2


def test_progress_is_silent_in_a_pipe(capsys):
    assert list(track(range(3), "work", 3)) == [0, 1, 2]
    with progress_bar("work", 2) as update:
        update(1, "loss 0.1")
    assert capsys.readouterr() == ("", "")


def test_progress_shows_on_a_terminal():
    script = "from lldm_aug.cli.progress import track\nfor i in track(range(2), 'counting', 2): print(i)"
    master, slave = os.openpty()
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=slave, cwd=ROOT, check=True)
    os.close(slave)
    shown = os.read(master, 65536)
    os.close(master)
    assert done.stdout == b"0\n1\n"
    assert b"counting" in shown


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return write_pool(tmp_path_factory.mktemp("cli") / "pool", cases=2)


def test_pool_verify(pool, tmp_path):
    assert "2 cases" in invoke("pool", "verify", pool).stdout
    shutil.copytree(pool, tmp_path / "copy")
    (tmp_path / "copy" / "labels" / "syn_0001.nii.gz").write_bytes(b"")
    result = invoke("pool", "verify", tmp_path / "copy")
    assert result.exit_code == 1
    assert "syn_0001.nii.gz: differs from its manifest line" in result.stderr


def test_pool_show(pool):
    assert json.loads(invoke("pool", "show", pool, "--json").stdout)["masks"] == {"procedural": 2}
    lines = dict(line.split("  ", 1) for line in invoke("pool", "show", pool).stdout.splitlines())
    assert lines["cases"].strip() == "2"


def test_pool_merge(pool, tmp_path):
    result = invoke("pool", "merge", tmp_path / "out", pool)
    assert "2 cases, 2 copied now" in result.stdout
    assert "2 cases, 0 copied now" in invoke("pool", "merge", tmp_path / "out", pool).stdout
    other = write_pool(tmp_path / "other", cases=1, generator=provenance(cases=("x",)))
    refused = invoke("pool", "merge", tmp_path / "out2", pool, other)
    assert refused.exit_code == 1
    assert "its generator differs" in refused.stderr


def test_module_and_script_are_one():
    done = python("import runpy, sys; sys.argv[1:] = ['--version']; runpy.run_module('lldm_aug', run_name='__main__')")
    assert done.stdout.split()[-1] == __version__


def commands(command: click.Command, name: str) -> list[tuple[str, click.Command]]:
    """A command, or all of a group, by their whole names."""
    if not isinstance(command, click.Group):
        return [(name, command)]
    context = click.Context(command)
    found = [(each, command.get_command(context, each)) for each in command.list_commands(context)]
    return [pair for each, sub in found if sub is not None for pair in commands(sub, f"{name} {each}")]


def test_every_command_takes_the_options_that_it_has() -> None:
    for name, command in commands(main, "lldm-aug"):
        taken = inspect.signature(inspect.unwrap(command.callback)).parameters.values()
        if not any(parameter.kind == parameter.VAR_KEYWORD for parameter in taken):
            assert {p.name for p in command.params if p.expose_value} == {p.name for p in taken}, name
