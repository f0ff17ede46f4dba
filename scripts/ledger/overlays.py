"""The ledger of an environment: its folder in k8s/overlays, and the commits that touched it.

`kustomization.yaml` holds the image's digest, `release.json` the release, and `ledger.json` the last action and its reason.
"""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

from scripts.ledger import architectures, history, kustomization
from scripts.ledger.entries import Entry
from scripts.release import releases
from scripts.release.releases import Release
from scripts.workspace import checkout, commits, git, settings
from scripts.workspace.errors import YourTurn

FOLDER = Path("k8s/overlays")
BATCH = (
    50  # releases read at once: mostly the first is meant, and a process for each would take seconds where the last is
)


def names() -> list[str]:
    """The environments that have an overlay, in the order of promotion, which the settings say."""
    order = list(settings.read().environments)
    found = sorted({path.parent.name for name in kustomization.FILES for path in FOLDER.glob(f"*/{name}")})
    return sorted(found, key=lambda name: order.index(name) if name in order else len(order))


def first() -> str:
    """The environment that a new release comes to first. Raises YourTurn if there is none."""
    if found := names():
        return found[0]
    raise YourTurn(
        f"there is no environment: {FOLDER} holds no overlay", f"git sparse-checkout disable, or git restore {FOLDER}"
    )


def after(name: str) -> list[str]:
    """The environment that follows `name`, if there is one."""
    order = names()
    return order[order.index(name) + 1 :][:1]


def check(name: str, *more: str) -> None:
    """Raises YourTurn unless `name` is an environment with an overlay, or one of `more`."""
    if name not in more:
        first()
    settings.refuse_unknown("environment", name, [*names(), *more])


def released() -> dict[str, Release]:
    """The release in each environment's ledger, in the order of promotion; environments without a release are left out."""
    found = {name: Overlay(name).release() for name in names()}
    return {name: release for name, release in found.items() if release}


class Overlay:
    def __init__(self, name: str):
        self.name, self.folder = name, FOLDER / name

    def file(self, revision: str = "HEAD") -> str:
        """The path of the kustomization. Raises YourTurn where `revision` has none."""
        if name := kustomization.find(str(self.folder), revision):
            return f"{self.folder}/{name}"
        raise YourTurn(
            f"{self.folder}/{kustomization.FILES[0]} is not committed", f"git add {self.folder} && git commit"
        )

    def release(self, revision: str = "HEAD") -> Release | None:
        """The release that the environment should serve by `revision`; None before the first promotion."""
        file = self.file(revision)
        stored, document = git.contents([f"{revision}:{path}" for path in (file, f"{self.folder}/release.json")])
        text = kustomization.decoded(stored or b"", file)
        image = kustomization.image(text, file)
        if document is None and image is None:
            return None
        release = _parse(document or b"", f"{self.folder}/release.json")
        for which, place in release.images.items():
            said = kustomization.image(text, file, which)
            if said != "@".join(place):
                problem = f"{file} says {said}, and release.json beside it {'@'.join(place)}"
                raise YourTurn(problem, f"./pipeline promote {self.name} writes both")
        return release

    def namespace(self) -> str | None:
        """The namespace in HEAD's kustomization; None if it is set elsewhere."""
        file = self.file()
        return kustomization.load(kustomization.decoded(git.show("HEAD", file) or b"", file), file).get("namespace")

    def revision(self) -> str:
        """The newest commit that could change what is rendered here."""
        paths = ["k8s/base", "k8s/components", str(self.folder)]
        return git.text("log", "-1", "--format=%H", "--", *paths) or git.text("rev-parse", "HEAD")

    def history(self, revision: str = "HEAD") -> list[Entry]:
        """Every commit that changed this environment's release or the manifests beside it, oldest first."""
        return history.read(str(self.folder), revision)

    def find(self, which: str, *revisions: str) -> Release:
        """The newest release called `which` in any environment's ledger, this one's first. Raises YourTurn if there is none.

        The search covers the history of HEAD, or of `revisions`.
        """
        for folder in (self.folder, FOLDER):
            for release in _earlier(folder, revisions):
                if release.is_called(which):
                    return release
        raise YourTurn(
            f"release {which} is in no ledger of this clone",
            f"./pipeline history {self.name}; or git fetch --unshallow",
        )

    def write(self, release: Release, revision: str, entry: Entry) -> str | None:
        """Makes `commit` on HEAD and advances HEAD. Raises YourTurn, with nothing changed, if uncommitted work is in the way."""
        commits.refuse_under_way()
        head, folder = git.text("rev-parse", "HEAD"), str(self.folder)
        commits.refuse_changes(folder, self._tree(release, revision, self._record(entry, head), head))
        made = self.commit(release, revision, entry, head)
        if made:
            commits.advance(made, head, folder)
        elif checkout.changes(folder):
            commits.restore(folder)
        return made

    def check_writable(self, release: Release, revision: str, entry: Entry) -> None:
        """Raises YourTurn if `write` could not commit: uncommitted work in the way, git at work, a full disk, no signature."""
        commits.refuse_under_way()
        head, folder = git.text("rev-parse", "HEAD"), str(self.folder)
        tree = self._tree(release, revision, self._record(entry, head), head)
        commits.refuse_changes(folder, tree)
        commits.commit(tree, head, self._message(entry))  # on no branch: git will collect it as garbage

    def commit(self, release: Release, revision: str, entry: Entry, parent: str) -> str | None:
        """A commit on top of `parent`: the folder as it is in `revision`, with `release` in it. None if `parent` has the same.

        A return is committed even without a difference: the failure may have been in a manifest elsewhere, or in a release that git does
        not name. So are an override, a failure, a promotion for a new reason, and what a canary saw: they change only the ledger.
        """
        last = git.show(parent, f"{self.folder}/{history.FILE}")
        same = self._tree(release, revision, last, parent) == git.text("rev-parse", f"{parent}^{{tree}}")
        always = entry.action in ("return", "override", "canary") or entry.outcome == "failed"
        if same and not always and not self._is_for_a_new_reason(entry, parent):
            return None
        tree = self._tree(release, revision, self._record(entry, parent), parent)
        return commits.commit(tree, parent, self._message(entry))

    def _is_for_a_new_reason(self, entry: Entry, parent: str) -> bool:
        if entry.action != "promote" or not entry.reason:
            return False
        before = history.bringing(self.history(parent), entry.release.partition("-")[2])
        return before is not None and before.reason != entry.reason

    def _record(self, entry: Entry, parent: str) -> bytes:
        """The ledger.json for `entry`, made on `parent`."""
        taken_back = history.taken_back([*self.history(parent), entry])
        return history.to_document(dataclasses.replace(entry, taken_back=taken_back), parent)

    def _tree(self, release: Release, revision: str, record: bytes | None, parent: str) -> str:
        """The tree of the commit; `record` is the content of ledger.json."""
        file = self.file(revision)
        text = kustomization.decoded(git.show(revision, file) or b"", file)
        content = {
            Path(file).name: kustomization.with_images(text, file, release.images).encode(),
            "release.json": (json.dumps(release.document, indent=2, allow_nan=False) + "\n").encode(),
            history.FILE: record,
        }
        if git.show(revision, f"{self.folder}/{architectures.FILE}") is not None:  # an overlay may do without it
            content[architectures.FILE] = architectures.patch(release.architectures)
        return commits.with_folder(parent, str(self.folder), revision, content)

    def _message(self, entry: Entry) -> str:
        """The commit message, for people only: `history` reads ledger.json."""
        values = {"Action": entry.action, "Release": entry.release, "Outcome": entry.outcome, "Reason": entry.reason}
        values |= {"Override": entry.override}
        trailers = [f"{key}: {' '.join(value.split())}" for key, value in values.items() if value]
        return f"{self.name}: {entry.action} {entry.release}\n\n" + "\n".join(trailers)


def _earlier(folder: Path, revisions: tuple[str, ...]) -> Iterator[Release]:
    """Every release that a commit has written below `folder`, newest first."""
    flags = ["--format=%x01%H", "--name-only", "--no-renames", "--diff-filter=AM"]
    log = git.text("log", *revisions, *flags, "--", f"{folder}/")
    blocks = [block.split() for block in log.split("\x01") if block]
    places = [(commit, path) for commit, *paths in blocks for path in paths if path.endswith("/release.json")]
    for start in range(0, len(places), BATCH):
        batch = places[start : start + BATCH]
        documents = git.contents([f"{commit}:{path}" for commit, path in batch])
        yield from (_parse(document or b"", path) for (_, path), document in zip(batch, documents, strict=True))


def _parse(document: bytes, source: str) -> Release:
    try:
        parsed = json.loads(document)
    except ValueError as error:
        remedy = (
            f"git restore --source=HEAD^ {source}, or ./pipeline promote {Path(source).parent.name}, which writes it"
        )
        raise YourTurn(f"{source} is corrupt or missing: {error}", remedy) from None
    releases.validate(parsed, source)
    return Release(Path(source).parent, parsed)
