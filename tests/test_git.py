"""git as people have it set up: their settings, hooks, remotes and half-done merges."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.workspace import remote
from tests.support.fork import Fork, Result
from tests.test_promote import OVERLAY, push, release

FIRST, SECOND = "1750000001-111111111111", "1750000002-222222222222"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Fork:
    """Release 1 in dev, release 2 as the candidate."""
    fork = Fork(tmp_path_factory.mktemp("git") / "fork")
    push(fork, release(1))
    fork.ok("promote", "dev")
    push(fork, release(2))
    return fork


@pytest.fixture
def fork(template: Fork, tmp_path: Path) -> Fork:
    return template.copy(tmp_path / "fork")


def history(fork: Fork) -> list[tuple[str, str, str]]:
    """Action, release and reason of each entry after the fork itself, oldest first."""
    fork.ok("history", "dev", "--json", str(fork.root / "build/history.json"))
    return [(e["action"], e["release"], e["reason"]) for e in fork.read("build/history.json")][1:]


def roll_back(fork: Fork, action: str = "rollback") -> None:
    """Release 1 in the place of 2, as `rollback` writes it once the cluster serves it, or a deployment that failed."""
    program = f"""
from pathlib import Path
from scripts.ledger import entries
from scripts.ledger.overlays import Overlay
from scripts.release.releases import Release
release = Release(Path(), {release(1)!r})
Overlay("dev").write(release, "HEAD", entries.Entry(entries.now(), {action!r}, release.label, "serving", "too slow"))
"""
    subprocess.run([fork.root / ".venv/bin/python", "-c", program], cwd=fork.root, check=True)


def hook(fork: Fork, name: str, *lines: str) -> None:
    path = fork.root / ".git/hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)


SETTINGS = {
    "signatures shown": ["log.showSignature", "true"],
    "another encoding": ["i18n.logOutputEncoding", "UTF-16"],
    "messages in another encoding": ["i18n.commitEncoding", "ISO-8859-1"],
    "colours": ["color.ui", "always"],
    "followed": ["log.follow", "true"],
    "a pager": ["core.pager", "false"],
    "an external diff": ["diff.external", "false"],
    "no root": ["log.showRoot", "false"],
    "a template": ["commit.template", "/nonexistent"],
    "short names": ["core.abbrev", "4"],
    "verified merges": ["merge.verifySignatures", "true"],
}


@pytest.fixture(scope="module")
def signed(template: Fork, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fork]:
    """One whose commits are signed, by a key of ssh."""
    fork = template.copy(tmp_path_factory.mktemp("signed") / "fork")
    key = fork.root.with_suffix(".key")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    signers = key.with_suffix(".signers")
    signers.write_text(f"fork@example.com {key.with_suffix('.key.pub').read_text()}")
    settings = {"gpg.format": "ssh", "gpg.ssh.allowedSignersFile": str(signers), "user.signingKey": str(key)}
    for name, value in (settings | {"commit.gpgSign": "true"}).items():
        fork.git("config", name, value)
    return fork


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_user_s_settings_shape_nothing(signed: Fork, setting: str) -> None:
    name, value = SETTINGS[setting]
    head = signed.git("rev-parse", "HEAD").strip()
    signed.git("config", name, value)
    signed.ok("promote", "dev", "--reason", "größer — 更好")
    assert history(signed) == [("promote", FIRST, ""), ("promote", SECOND, "größer — 更好")]
    assert checked_out(signed) == signed.git("rev-parse", "HEAD").strip()
    signed.git("config", "--unset", name)
    assert "-----BEGIN SSH SIGNATURE-----" in signed.git("cat-file", "commit", "HEAD")
    assert signed.git("status", "--porcelain") == ""
    signed.git("reset", "-q", "--hard", head)


def checked_out(fork: Fork) -> str:
    """The commit as `export` notes it."""
    program = "from scripts.workspace import checkout; print(checkout.read().commit)"
    return subprocess.check_output([fork.root / ".venv/bin/python", "-c", program], cwd=fork.root, text=True).strip()


def unchanged(fork: Fork, head: str) -> bool:
    return fork.git("rev-parse", "HEAD").strip() == head and fork.git("status", "--porcelain") == ""


def refused(fork: Fork, *arguments: str) -> str:
    result = fork.run(*arguments)
    assert result.code == 1, result.err
    return result.err


def test_a_commit_that_fails_changes_nothing(fork: Fork) -> None:
    head = fork.git("rev-parse", "HEAD").strip()
    hook(fork, "prepare-commit-msg", "echo no ticket >&2", "exit 1")
    assert "the hook prepare-commit-msg refuses the commit: no ticket" in refused(fork, "promote", "dev")
    assert unchanged(fork, head)
    (fork.root / ".git/hooks/prepare-commit-msg").unlink()
    (fork.root / ".git/index.lock").touch()
    assert "error: .git/index.lock exists: another git is at work here" in refused(fork, "promote", "dev")
    (fork.root / ".git/index.lock").unlink()
    assert unchanged(fork, head)
    hook(fork, "reference-transaction", "[ $1 != prepared ] || exit 1")
    assert "git update-ref: " in refused(fork, "promote", "dev")
    assert unchanged(fork, head)
    (fork.root / ".git/hooks/reference-transaction").unlink()
    for name, value in {"gpg.format": "ssh", "user.signingKey": "/nonexistent.pub", "commit.gpgSign": "true"}.items():
        fork.git("config", name, value)
    assert "/nonexistent" in refused(fork, "promote", "dev")
    assert unchanged(fork, head)
    fork.git("config", "commit.gpgSign", "false")
    fork.ok("promote", "dev")


@pytest.mark.parametrize("command", ["merge", "cherry-pick", "rebase"])
def test_in_the_middle_of_a_merge_nothing_is_committed(fork: Fork, command: str) -> None:
    fork.git("switch", "-q", "-c", "theirs")
    fork.edit("README.md", "#", "##")
    fork.commit("theirs")
    fork.git("switch", "-q", "main")
    fork.edit("README.md", "#", "###")
    fork.commit("ours")
    with pytest.raises(subprocess.CalledProcessError):
        fork.git(command, "theirs")
    before = fork.git("status", "--porcelain")
    assert f"error: a {command} is under way here\n  next: git {command} --continue, or --abort" in refused(
        fork, "promote", "dev"
    )
    assert fork.git("status", "--porcelain") == before
    fork.git(command, "--abort")
    fork.ok("promote", "dev")


def test_a_return_stands_in_the_ledger_though_it_changes_nothing_else(fork: Fork) -> None:
    """What failed may have been a manifest elsewhere. A rollback to what is there already is none."""
    roll_back(fork)
    assert history(fork) == [("promote", FIRST, "")]
    roll_back(fork, "return")
    assert history(fork) == [("promote", FIRST, ""), ("return", FIRST, "too slow")]


def test_a_promotion_killed_before_its_commit_changes_nothing(fork: Fork) -> None:
    head = fork.git("rev-parse", "HEAD").strip()
    hook(fork, "prepare-commit-msg", "kill -9 $PPID")
    assert fork.run("promote", "dev").code == -9
    assert unchanged(fork, head)


def test_one_killed_before_its_files_are_there_goes_on(fork: Fork) -> None:
    hook(fork, "reference-transaction", "[ $1 != committed ] || kill -9 $(ps -o ppid= -p $PPID)")
    assert fork.run("promote", "dev").code == -9
    (fork.root / ".git/hooks/reference-transaction").unlink()
    assert fork.git("status", "--porcelain") != ""
    assert "has release 222222222222 already" in fork.ok("promote", "dev").err
    assert fork.git("status", "--porcelain") == ""
    assert history(fork)[-1] == ("promote", SECOND, "")


MOVES = {
    "a hook that adds to the message": None,
    "a reworded message": lambda fork: fork.git("commit", "-q", "--amend", "-m", "reworded"),
    "an amended commit": lambda fork: (
        fork.edit("README.md", "#", "##"),
        fork.git("commit", "-aq", "--amend", "-m", "x"),
    ),
    "a squash": lambda fork: (fork.git("reset", "-q", "--soft", "HEAD~2"), fork.git("commit", "-q", "-m", "squashed")),
    "a rebase": lambda fork: fork.git("rebase", "-q", "--force-rebase", "--committer-date-is-author-date", "HEAD~2"),
    "a cherry-pick": lambda fork: (
        fork.git("switch", "-q", "-c", "other", "HEAD~2"),
        fork.git("cherry-pick", "main~1", "main"),
    ),
    "a squash merge": lambda fork: (
        fork.git("switch", "-q", "-c", "other", "HEAD~2"),
        fork.git("merge", "-q", "--squash", "main"),
        fork.git("commit", "-q", "-m", "Roll dev back (#7)"),
    ),
    "a squash with the promotion after it": lambda fork: (
        push(fork, release(3)),
        fork.ok("promote", "dev"),
        push(fork, release(2)),
        fork.git("reset", "-q", "--soft", "HEAD~2"),
        fork.git("commit", "-q", "-m", "squashed"),
    ),
    "a merge": lambda fork: (
        fork.git("switch", "-q", "-c", "other", "HEAD~2"),
        fork.commit("meanwhile"),
        fork.git("merge", "-q", "--no-edit", "main"),
    ),
    "an edit after it": lambda fork: (
        fork.edit(f"{OVERLAY}/kustomization.yaml", "components: []", "components: [../../components/gpu]"),
        fork.commit("A GPU"),
    ),
}


@pytest.mark.parametrize("move", MOVES)
def test_a_release_that_was_rolled_back_stays_refused(fork: Fork, move: str) -> None:
    if not MOVES[move]:
        hook(fork, "prepare-commit-msg", r"printf '\n\nChange-Id: I0123\n\nA paragraph of its own.\n' >> $1")
    fork.ok("promote", "dev")
    roll_back(fork)
    if MOVES[move]:
        MOVES[move](fork)
    present = fork.read(f"{OVERLAY}/release.json")["version"]
    assert present != 1_750_000_002
    result = fork.ok("promote", "dev")
    assert "release 222222222222 was rolled back in dev (too slow): it comes back only with a --reason" in result.err
    assert fork.read(f"{OVERLAY}/release.json")["version"] == present
    fork.ok("promote", "dev", "--reason", "it was the network")
    assert fork.read(f"{OVERLAY}/release.json")["version"] == 1_750_000_002


def test_a_revert_brings_back_the_release_before_and_counts_as_a_rollback(fork: Fork) -> None:
    """Also one by GitHub's button, which is the same commit, merged."""
    fork.ok("promote", "dev")
    promoted = fork.git("rev-parse", "HEAD").strip()
    fork.git("switch", "-q", "-c", "revert")
    fork.git("revert", "--no-edit", promoted)
    fork.git("switch", "-q", "main")
    fork.git("merge", "-q", "--no-ff", "-m", "Merge pull request #9", "revert")
    subject = f'Revert "dev: promote {SECOND}"'
    assert history(fork)[-1] == ("revert", FIRST, subject)
    assert f"dev: revert to {FIRST}: {subject}" in fork.ok("changed", "--since", promoted).err
    assert f"was rolled back in dev ({subject})" in fork.ok("promote", "dev").err
    fork.git("revert", "--no-edit", "-m", "1", "HEAD")
    assert history(fork)[-1][:2] == ("revert", SECOND)


def test_two_promotions_that_meet_are_resolved_by_hand(fork: Fork) -> None:
    fork.git("switch", "-q", "-c", "other")
    push(fork, release(3))
    fork.ok("promote", "dev", "--reason", "theirs")
    fork.git("switch", "-q", "main")
    push(fork, release(2))
    fork.ok("promote", "dev", "--reason", "ours")
    with pytest.raises(subprocess.CalledProcessError):
        fork.git("merge", "other")
    fork.git("checkout", "--theirs", "--", OVERLAY)
    conflict = (fork.root / OVERLAY / "ledger.json").read_text()
    (fork.root / OVERLAY / "ledger.json").write_text(f"<<<<<<< ours\n{conflict}>>>>>>> theirs\n")
    fork.git("add", "-A")
    fork.git("commit", "-q", "--no-edit")
    newest = history(fork)
    assert newest[-1][1] == "1750000003-333333333333"
    assert {("promote", SECOND, "ours"), ("promote", "1750000003-333333333333", "theirs")} <= set(newest)
    fork.ok("promote", "dev", "--from", "candidate")


def test_old_commits_say_what_they_were_in_their_trailers(fork: Fork) -> None:
    """As an older version wrote them: without ledger.json."""
    fork.ok("promote", "dev", "--reason", "new")
    roll_back(fork)
    commits = fork.git("rev-list", "--reverse", "HEAD~3..HEAD").split()
    fork.git("checkout", "-q", "--detach", "HEAD~3")
    for commit in commits:
        fork.git("checkout", "-q", commit, "--", OVERLAY)
        fork.git("rm", "-qf", f"{OVERLAY}/ledger.json")
        fork.git("commit", "-q", "-C", commit)
    assert history(fork) == [
        ("promote", FIRST, ""),
        ("promote", SECOND, "new"),
        ("rollback", FIRST, "too slow"),
    ]
    assert "was rolled back in dev (too slow)" in fork.ok("promote", "dev").err


def from_hook(fork: Fork, *arguments: str) -> Result:
    """The verb as the hook post-commit runs it."""
    words = " ".join(arguments)
    hook(
        fork,
        "post-commit",
        "rm .git/hooks/post-commit",
        f"./pipeline {words} > build/out 2> build/err; echo $? > build/code",
    )
    fork.git("commit", "-q", "--allow-empty", "-m", "a commit")
    out, err, code = ((fork.root / "build" / name).read_text() for name in ("out", "err", "code"))
    return Result(int(code), out, err)


def test_a_promotion_from_a_hook_with_another_index(fork: Fork, tmp_path: Path) -> None:
    subprocess.run(["git", "clone", "-q", "--bare", fork.root, tmp_path / "origin.git"], check=True)
    fork.git("remote", "add", "origin", str(tmp_path / "origin.git"))
    result = from_hook(fork, "promote", "dev", "--publish")
    assert result.code == 0, result.err
    assert "2222" in subprocess.check_output(
        ["git", "show", f"main:{OVERLAY}/release.json"], cwd=tmp_path / "origin.git", text=True
    )


def test_line_ends_filters_and_links_are_no_changes(template: Fork, tmp_path: Path) -> None:
    """In a clone by somebody whose git writes CRLF, with a filter and a link in the overlay."""
    upstream = template.copy(tmp_path / "upstream")
    upstream.git("update-index", "--no-assume-unchanged", "pyproject.toml")
    (upstream.root / OVERLAY / "secret.txt").write_text("clean\n")
    (upstream.root / OVERLAY / "link.yaml").symlink_to("../staging/replicas.yaml")
    with (upstream.root / ".gitattributes").open("a") as attributes:
        attributes.write(f"{OVERLAY}/secret.txt filter=secret\n{OVERLAY}/resources.yaml text\n")
    upstream.commit("a link and a filter")
    clone = tmp_path / "clone"
    filters = ["-c", "filter.secret.smudge=tr a-z A-Z", "-c", "filter.secret.clean=tr A-Z a-z"]
    command = ["git", "clone", "-q", "-c", "core.autocrlf=true", *filters]
    subprocess.run([*command, upstream.root, clone], check=True)
    fork = object.__new__(Fork)
    fork.root = clone
    (clone / ".venv").symlink_to(template.root / ".venv")
    shutil.copytree(upstream.root / "build", clone / "build")
    assert b"\r" not in (clone / "pipeline").read_bytes()
    assert b"\r\n" in (clone / OVERLAY / "resources.yaml").read_bytes()
    assert (clone / OVERLAY / "secret.txt").read_text() == "CLEAN\n"
    fork.ok("promote", "dev")
    assert fork.git("status", "--porcelain") == ""
    assert fork.git("show", f"HEAD:{OVERLAY}/secret.txt") == "clean\n"
    assert (clone / OVERLAY / "link.yaml").is_symlink()
    assert fork.git("ls-tree", "HEAD", f"{OVERLAY}/link.yaml").startswith("120000 ")


@pytest.mark.parametrize(
    "address",
    [
        "https://github.com/acme/Model",
        "https://x-access-token:secret@github.com/acme/Model.git",
        "git@github.com:acme/Model.git",
        "git@GitHub.com:/acme/Model/",
        "org-123@github.com:acme/Model",
        "ssh://git@ssh.github.com:443/acme/Model.git",
        "git+ssh://git@github.com/acme/Model",
        "gh:acme/Model",
        "work:acme/Model.git",
    ],
)
def test_a_remote_on_github_is_known(tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ssh").write_text('#!/bin/sh\n[ "$*" = "-G work" ] && echo hostname github.com || echo hostname "$2"\n')
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run(["git", "config", "url.git@github.com:.insteadOf", "gh:"], check=True)
    subprocess.run(["git", "remote", "add", "origin", address], check=True)
    assert remote.on_github() == "acme/Model"
    assert remote.source() == "https://github.com/acme/Model"


@pytest.mark.parametrize(
    "address", ["https://gitlab.com/acme/Model", "git@example.com:github.com/acme/Model", "/srv/github.com/a/b"]
)
def test_any_other_is_not(tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run(["git", "remote", "add", "origin", address], check=True)
    assert remote.on_github() == ""


CHECKOUTS = {
    "a worktree": ["git", "worktree", "add", "-q", "-b", "other", "{there}"],
    "a submodule": [
        "git",
        "-C",
        "{above}",
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "-q",
        "add",
        "{here}",
        "there",
    ],
    "a shallow clone": ["git", "clone", "-q", "--depth=1", "file://{here}", "{there}"],
    "a clone without blobs": ["git", "clone", "-q", "--filter=blob:none", "file://{here}", "{there}"],
    "a clone without most folders": ["git", "clone", "-q", "--sparse", "file://{here}", "{there}"],
    "a name of its own for the remote": ["git", "clone", "-q", "-o", "upstream", "file://{here}", "{there}"],
}


@pytest.mark.parametrize("kind", CHECKOUTS)
def test_a_checkout_of_another_kind(fork: Fork, tmp_path: Path, kind: str) -> None:
    there = tmp_path / "there"
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    fork.git("config", "uploadpack.allowFilter", "true")
    words = [word.format(here=fork.root, there=there, above=tmp_path) for word in CHECKOUTS[kind]]
    subprocess.run(words, cwd=fork.root, check=True)
    (there / ".venv").symlink_to(fork.root / ".venv")
    shutil.copytree(fork.root / "build", there / "build")
    fork.root = there
    if "folders" in kind:
        fork.git("sparse-checkout", "set", "scripts", "model", "serving", "requirements")
        assert "error: there is no environment: k8s/overlays holds no overlay" in refused(fork, "promote", "dev")
        fork.git("sparse-checkout", "add", OVERLAY)
    fork.ok("promote", "dev", "--reason", kind)
    assert history(fork)[-1] == ("promote", SECOND, kind)
    assert fork.git("status", "--porcelain") == ""
    if "remote" in kind:
        assert "next: git remote add origin URL, or git remote rename NAME origin" in refused(
            fork, "promote", "dev", "--publish"
        )


def test_hooks_in_a_folder_of_their_own_append_lines(fork: Fork) -> None:
    hook(fork, "prepare-commit-msg", "echo Signed-off-by: me >> $1")
    (fork.root / ".git/hooks").rename(fork.root / ".git/ours")
    fork.git("config", "core.hooksPath", ".git/ours")
    fork.ok("promote", "dev")
    assert fork.git("log", "-1", "--format=%B").splitlines()[-2:] == ["Signed-off-by: me", ""]


@pytest.mark.parametrize("initialised", [True, False])
def test_a_folder_without_a_history_is_told(fork: Fork, monkeypatch: pytest.MonkeyPatch, initialised: bool) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(fork.root.parent))
    shutil.rmtree(fork.root / ".git")
    if initialised:
        fork.git("init", "-q")
    remedy = (
        "git add -A and git commit: nothing is committed here yet"
        if initialised
        else "git init, git add -A and git commit"
    )
    assert f"next: {remedy}" in refused(fork, "promote", "dev")


def test_what_git_cannot_do_is_told_by_the_line_that_says_why(fork: Fork) -> None:
    fork.git("remote", "add", "origin", "ssh://git@127.0.0.1:1/acme/Model.git")
    error = refused(fork, "promote", "dev", "--publish")
    assert error.startswith("error: git fetch: ssh: connect to host 127.0.0.1 port 1: Connection refused\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")
def test_a_checkout_of_another_user_is_told(fork: Fork, tmp_path: Path) -> None:
    os.chown(fork.root, 12345, -1)
    expected = f"error: git reads nothing here: {fork.root} belongs to another user of this machine\n"
    for arguments in (["promote", "dev"], ["doctor"]):
        said = fork.run(*arguments)
        assert expected.strip().removeprefix("error: ") in said.out + said.err
    assert f"git config --global --add safe.directory '{fork.root}'" in refused(fork, "promote", "dev")


def test_untracked_files_count_whatever_is_shown(fork: Fork) -> None:
    program = "from scripts.workspace import checkout; print(checkout.read().dirty, checkout.changes())"
    fork.git("config", "status.showUntrackedFiles", "no")
    (fork.root / "model/_helper.py").write_text("")
    done = subprocess.check_output([fork.root / ".venv/bin/python", "-c", program], cwd=fork.root, text=True)
    assert done == "True ['model/_helper.py']\n"
