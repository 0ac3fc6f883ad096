"""Nothing writes files but `mer.whole_files` and `infra.whole_files`, which write them whole: what else writes is named here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("mer", "infra", "tasks", "flows")
ALLOWED = {
    "mer/whole_files.py _fill": "the one way itself",
    "mer/whole_files.py _write": "devices and pipes, which cannot be replaced",
    "mer/whole_files.py write_whole": "the one way itself",
    "mer/whole_files.py write_folder": "the one way itself",
    "mer/whole_files.py _moved": "the one way itself",
    "infra/whole_files.py _fill": "the one way itself",
    "infra/whole_files.py _write": "devices and pipes, which cannot be replaced",
    "infra/whole_files.py write_whole": "the one way itself",
    "infra/whole_files.py write_folder": "the one way itself",
    "infra/whole_files.py _moved": "the one way itself",
    "infra/objects/folder.py put": "objects have a staging folder of their own, which the store sweeps",
    "infra/objects/folder.py _write_synced": "into the staging folder",
    "infra/objects/mirror.py _download": "fills a temporary file of `write_whole`",
    "infra/objects/mirror.py _fetch": "a journal grows by lines; one that is cut off is passed over",
    "infra/services/postgres.py _make_cluster": "a whole cluster, made by initdb under a temporary name",
    "infra/services/postgres.py _readable_programs": "programs, copied under a temporary name in the system's temporary folder",
    "infra/services/process.py launch": "a log",
    "infra/observing/event_file.py _opened": "a log grows by lines; one that is cut off is passed over",
    "infra/observing/event_file.py _rotate": "moves a full log out of the way",
    "infra/tracking/mlflow_sink.py _figures": "MLflow takes files: in the system's temporary folder",
    "infra/tracking/spool.py _set_aside": "moves an event that is whole",
    "infra/tracking/spool.py retry_refused": "moves an event that is whole",
    "infra/catalogue/migrations/__main__.py ": "for developers: in the system's temporary folder",
    "tasks/stage/backup.py _set_aside": "moves a damaged catalogue out of the way",
    "infra/locking.py _taken": "locks are empty files",
    "infra/modes.py mark": "an empty file",
    "mer/corpora/contained_reader.py _read": "hands over what was read: in the system's temporary folder",
    "mer/corpora/contained_reader_worker.py main": "a pipe",
    "mer/corpora/plain_data.py write_plain": "hands over what was read: in the system's temporary folder",
    "mer/media/contained_worker.py main": "a pipe",
    "mer/demo/clip_file.py write_clip": "fills a temporary file of `write_whole`",
    "tasks/serve/destination.py _rescued": "where answers go that no other place takes",
    "tasks/serve/served_model.py load_served": "a clip to warm up by: in the system's temporary folder",
    "tasks/serve/sound_stretches.py sound_stretches": "stretches of a sound to be read: in the system's temporary folder",
    "flows/service/uploading.py stored": "what clients send, for as long as it is read: in the system's temporary folder",
    "tasks/prune/files.py _take_copy": "moves a folder out of everybody's way, to remove it",
    "tasks/prune/files.py sweep_bucket_copies": "moves a folder out of everybody's way, to remove it",
    "tasks/prune/files.py cut_log": "its server has the log open: it must stay the same file",
    "flows/cli/outcome.py _written": "the traceback of a bug: must go somewhere, whatever fails",
    "flows/simulation/stage.py own_home": "a new folder in the system's temporary folder, for a home of its own",
    "flows/terminal.py close_output": "the null device",
}
"""`path function` -> why it may write by itself."""
WRITERS = ("write_whole", "write_folder")
OF_PATHS = ("write_text", "write_bytes", "rename", "touch", "hardlink_to", "symlink_to")
OF_MODULES = {
    "os": ("replace", "rename", "renames", "link", "truncate", "symlink"),
    "shutil": ("copy", "copy2", "copyfile", "copytree", "move", "make_archive"),
    "tempfile": ("mkstemp", "mkdtemp", "NamedTemporaryFile", "TemporaryDirectory", "TemporaryFile"),
    "np": ("save", "savez", "savez_compressed", "savetxt"),
    "cv2": ("imwrite",),
}
OF_LIBRARIES = (
    "save_file",
    "save_pretrained",
    "tofile",
    "imwrite",
    "imsave",
    "fget_object",
    "serialize_file",
)
BUFFERS = ("buffer", "target", "index", "sink", "text")
"""What tables and figures are written into where it is no file: names of buffers in memory."""
MODES = set("wxa+")


def writes(call: ast.Call) -> bool:
    """Whether a call writes, moves or makes a file."""
    function = call.func
    if isinstance(function, ast.Name):
        return function.id in OF_LIBRARIES or (function.id == "open" and _writing_mode(call, 1))
    if not isinstance(function, ast.Attribute):
        return False
    name, owner = function.attr, function.value
    if isinstance(owner, ast.Name) and name in OF_MODULES.get(owner.id, ()):
        return True
    if isinstance(owner, ast.Name) and owner.id == "os" and name == "open":
        return any(isinstance(part, ast.Attribute) and part.attr == "O_CREAT" for part in ast.walk(call))
    if isinstance(owner, ast.Name) and (owner.id, name) in (("av", "open"), ("os", "fdopen"), ("io", "open")):
        return _writing_mode(call, 1)
    if name == "open":
        return _writing_mode(call, 0)
    if name == "replace":  # texts have two arguments, `dataclasses.replace` is no attribute
        return len(call.args) == 1 and not call.keywords
    if name in ("savefig", "write_table", "to_parquet", "to_csv"):
        at = 1 if name == "write_table" else 0
        into = call.args[at] if len(call.args) > at else None
        return into is not None and not (isinstance(into, ast.Name) and into.id in BUFFERS)
    return name in OF_PATHS or name in OF_LIBRARIES


def _writing_mode(call: ast.Call, position: int) -> bool:
    given = [word.value for word in call.keywords if word.arg == "mode"] + call.args[position : position + 1]
    return any(isinstance(mode, ast.Constant) and set(str(mode.value)) & MODES for mode in given)


def writers(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """(function, line) of each call that writes and is no part of what `write_whole` or `write_folder` is given."""

    def visit(node: ast.AST, function: str) -> Iterator[tuple[str, int]]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if function and node.name in (
                "fill",
                "_fill",
            ):  # given to the one way, which tests of its callers show
                return
            function = function or node.name
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in WRITERS:
                return
            if writes(node):
                yield function, node.lineno
        for child in ast.iter_child_nodes(node):
            yield from visit(child, function)

    yield from visit(tree, "")


def test_nothing_else_writes_files() -> None:
    found: dict[str, int] = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for function, line in writers(ast.parse(path.read_text(encoding="utf-8"))):
                found.setdefault(f"{path.relative_to(ROOT).as_posix()} {function}", line)
    more = {name: line for name, line in found.items() if name not in ALLOWED}
    assert not more, f"expected `write_whole` of whole_files.py in mer or infra, found other writers: {more}"
    fewer = sorted(ALLOWED.keys() - found.keys())
    assert not fewer, f"expected writers, found that these write no more: {fewer}; remove them from ALLOWED"


@pytest.mark.parametrize(
    "line",
    [
        "path.write_text('x')",
        "path.write_bytes(b'')",
        "path.replace(target)",
        "os.replace(a, b)",
        "path.open('w')",
        "path.open(mode='ab')",
        "open(path, 'x')",
        "os.fdopen(handle, 'wb')",
        "os.open(path, os.O_WRONLY | os.O_CREAT)",
        "tempfile.mkstemp()",
        "save_file(tensors, path)",
        "np.save(path, array)",
        "figure.savefig(path)",
        "pq.write_table(table, path / 'x')",
        "frame.to_csv(path)",
        "shutil.copyfile(a, b)",
        "av.open(str(path), 'w')",
        "write_elsewhere(path, lambda temporary: temporary.write_text('x'))",
    ],
)
def test_what_counts_as_writing(line: str) -> None:
    assert [name for name, _ in writers(ast.parse(f"def f():\n    {line}"))] == ["f"]


@pytest.mark.parametrize(
    "line",
    [
        "text.replace('a', 'b')",
        "replace(record, a=1)",
        "path.open()",
        "path.open('rb')",
        "os.open(path, os.O_RDONLY)",
        "pq.write_table(table, buffer)",
        "table.to_parquet()",
        "write_whole(path, lambda temporary: save_file(tensors, temporary))",
    ],
)
def test_what_does_not(line: str) -> None:
    assert list(writers(ast.parse(f"def f():\n    {line}"))) == []
