"""Commits made of git's objects alone: the working tree, the index and the branch stay as they are until `advance`.

A commit that fails, or is killed, has therefore changed nothing.
"""

import os
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from scripts.workspace import checkout, console, git, process
from scripts.workspace.errors import YourTurn

REFLOG = "pipeline: advance"  # what the reflog calls a step of `advance`
COMMITTER = "pipeline@localhost"  # deploy.yml recognises the pipeline's own pushes by it
MODE = "100644"  # a regular file, not executable
UNDER_WAY = {  # git's file during an operation: the operation, and how to end it
    "MERGE_HEAD": ("a merge", "git merge --continue, or --abort"),
    "rebase-merge": ("a rebase", "git rebase --continue, or --abort"),
    "rebase-apply": ("a rebase", "git rebase --continue, or --abort"),
    "CHERRY_PICK_HEAD": ("a cherry-pick", "git cherry-pick --continue, or --abort"),
    "REVERT_HEAD": ("a revert", "git revert --continue, or --abort"),
    "BISECT_LOG": ("a bisection", "git bisect reset"),
}
LOCKS = ["index.lock", "HEAD.lock"]


@contextmanager
def index_of(revision: str) -> Generator[Path]:
    """A temporary index with the content of `revision`."""
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder, "index")
        git.git("read-tree", revision, index=index)
        yield index


def with_folder(parent: str, folder: str, revision: str, files: Mapping[str, bytes | None]) -> str:
    """The tree of `parent` with `folder` as it is in `revision`, and `files` in it by name; None removes a file."""
    entries = {name: (mode, blob) for mode, blob, name in _listed(revision, folder)}
    for name, content in files.items():
        if content is None:
            entries.pop(name, None)
            continue
        blob = git.git("hash-object", "-w", "--stdin", stdin=content).decode().strip()
        entries[name] = (entries.get(name, (MODE, ""))[0], blob)
    gone = {name: ("0", "0" * 40) for _, _, name in _listed(parent, folder)}
    lines = [f"{mode} {blob}\t{folder}/{name}\0".encode() for name, (mode, blob) in (gone | entries).items()]
    with index_of(parent) as index:
        git.git("update-index", "-z", "--index-info", stdin=b"".join(lines), index=index)
        return git.text("write-tree", index=index)


def commit(tree: str, parent: str | None, message: str) -> str | None:
    """A commit of `tree` on top of `parent`; None if the parent has the same tree. Signed if the user signs all commits."""
    if parent and tree == git.text("rev-parse", f"{parent}^{{tree}}"):
        return None
    sign = git.ask("config", "--type=bool", "commit.gpgSign").stdout.strip() == b"true"
    flags = [*(["-p", parent] if parent else []), "-F", "-", *(["--gpg-sign"] if sign else [])]
    remedy = "mend that, or git config commit.gpgSign false; then the same command again: nothing is changed"
    made = git.git("commit-tree", tree, *flags, stdin=_prepared(message), settings=_identity(), remedy=remedy)
    return made.decode().strip()


def refuse_under_way() -> None:
    """Raises YourTurn during a merge, a rebase or the like, of which a commit would become a part; and while git is at work."""
    names = [*UNDER_WAY, *LOCKS]
    places = git.text("rev-parse", *(word for name in names for word in ("--git-path", name))).splitlines()
    for name, place in zip(names, places, strict=True):
        if not Path(place).exists():
            continue
        if name in LOCKS:
            problem = f"{place} exists: another git is at work here, or one was killed"
            raise YourTurn(problem, f"see that none is, and rm {place}; then the same command again")
        what, end = UNDER_WAY[name]
        raise YourTurn(f"{what} is under way here", f"{end}; then the same command again")


def refuse_changes(folder: str, wanted: str) -> None:
    """Raises YourTurn for an uncommitted change below `folder`, other than the remains of an interrupted `advance` to `wanted`."""
    changed = checkout.changes(folder)
    interrupted = git.ask("log", "-g", "-1", "--format=%gs").stdout.decode(errors="replace").strip() == REFLOG
    for tree in [wanted, *(["HEAD^"] if interrupted else [])] if changed else []:
        with index_of(tree) as index:
            if not checkout.changes(folder, index=index):
                return
    if changed:
        raise YourTurn(f"{changed[0]} has changes that are not committed", f"git commit or git restore {changed[0]}")


def advance(made: str, parent: str, folder: str) -> None:
    """Moves HEAD from `parent` to `made`, with `folder` in the index and on disk; other staged or edited files are not touched."""
    git.git("update-ref", "-m", REFLOG, "HEAD", made, parent)
    restore(folder)


def restore(folder: str) -> None:
    """Restores `folder` from HEAD."""
    git.git("restore", "--source=HEAD", "--staged", "--worktree", "--", folder)


def _listed(revision: str, folder: str) -> list[tuple[str, str, str]]:
    """Mode, object and name of each file below `folder`; none if there is no such folder."""
    done = git.ask("ls-tree", "-r", "-z", f"{revision}:{folder}")
    lines = [os.fsdecode(line).partition("\t") for line in done.stdout.split(b"\0") if line]
    return [(head.split()[0], head.split()[2], name) for head, _, name in lines]


def _prepared(message: str) -> bytes:
    """The message after the hook prepare-commit-msg, which git runs even for `git commit --no-verify`."""
    hook = Path(git.text("rev-parse", "--git-path", "hooks/prepare-commit-msg"))
    if not os.access(hook, os.X_OK):
        return message.encode()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "COMMIT_EDITMSG")
        file.write_text(f"{message}\n", encoding="utf-8")  # a hook appends lines
        absent = YourTurn(f"the hook {hook} cannot be run", f"mend or remove {hook}")
        done = process.text(["/bin/sh", "-c", 'exec "$@"', "hook", str(hook.absolute()), str(file), "message"], absent)
        if done.returncode:
            words = " ".join(f"{done.stdout} {done.stderr}".split()) or "without a word"
            problem = f"the hook prepare-commit-msg refuses the commit: {words}"
            raise YourTurn(problem, "mend that, then the same command again: nothing is changed")
        return file.read_bytes()


def _identity() -> list[str]:
    """Settings for a commit by the pipeline, with a line that says so, if git has no identity; else none."""
    if not any(git.ask("var", f"GIT_{who}_IDENT").returncode for who in ("AUTHOR", "COMMITTER")):
        return []
    console.say(
        "  identity   git knows nobody here, so the commit is by `pipeline`; git config user.name and user.email"
    )
    return ["user.name=pipeline", f"user.email={COMMITTER}"]
