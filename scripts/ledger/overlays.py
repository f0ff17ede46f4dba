"""The ledger of an environment: its folder in k8s/overlays, and the commits that touched it.

`kustomization.yaml` holds the image's digest, `release.json` beside it the release. A commit made here says in its trailers what it did,
and that is all that `history` reads.
"""

import datetime
import json
import subprocess
from pathlib import Path

from scripts.ledger import kustomization
from scripts.ledger.entries import Entry
from scripts.release import releases
from scripts.release.releases import Release
from scripts.workspace import files, git, settings
from scripts.workspace.errors import YourTurn

FOLDER = Path("k8s/overlays")
TRAILERS = ["Action", "Release", "Outcome", "Reason"]
FORMAT = "%x00".join(
    ["%H", "%ct", "%s", *(f"%(trailers:key={key},valueonly,unfold,separator=%x20)" for key in TRAILERS)]
)
FORMAT += "%x01"


def names() -> list[str]:
    """The environments that have an overlay, in the order of promotion, which the settings say."""
    order = list(settings.read().environments)
    found = sorted(path.parent.name for path in FOLDER.glob("*/kustomization.yaml"))
    return sorted(found, key=lambda name: order.index(name) if name in order else len(order))


def first() -> str:
    """The environment that a new release comes to first."""
    return names()[0]


def check(name: str, *more: str) -> None:
    """Raises YourTurn unless `name` is an environment with an overlay, or one of `more`."""
    settings.refuse_unknown("environment", name, [*names(), *more])


def released() -> dict[str, Release]:
    """What each environment's ledger says, in the order of promotion; without those that have no release yet."""
    found = {name: Overlay(name).release() for name in names()}
    return {name: release for name, release in found.items() if release}


class Overlay:
    def __init__(self, name: str):
        self.name, self.folder = name, FOLDER / name
        self.file = f"{self.folder}/kustomization.yaml"

    def release(self, revision: str = "HEAD") -> Release | None:
        """What `revision` says that the environment should serve; None before the first promotion."""
        text, document = (git.show(revision, f"{self.folder}/{f}") for f in ("kustomization.yaml", "release.json"))
        if text is None:
            raise YourTurn(f"{self.file} is not committed", f"git add {self.folder} && git commit")
        image = kustomization.image(text.decode(), self.file)
        if document is None and image is None:
            return None
        release = _parse(document or b"", f"{self.folder}/release.json")
        for which, place in release.images.items():
            said = kustomization.image(text.decode(), self.file, which)
            if said != "@".join(place):
                problem = f"{self.file} says {said}, and release.json beside it {'@'.join(place)}"
                raise YourTurn(problem, f"./pipeline promote {self.name} writes both")
        return release

    def namespace(self) -> str | None:
        """What kustomization.yaml says in HEAD; None where it is set otherwise."""
        text = git.show("HEAD", self.file) or b"{}"
        return kustomization.load(text.decode(), self.file).get("namespace")

    def revision(self) -> str:
        """The newest commit that could change what is rendered here."""
        paths = ["k8s/base", "k8s/components", str(self.folder)]
        return git.text("log", "-1", "--format=%H", "--", *paths) or git.text("rev-parse", "HEAD")

    def history(self) -> list[Entry]:
        """Every commit that changed this environment's release, oldest first; one made by hand is called an edit."""
        log = git.text("log", "--reverse", f"--format={FORMAT}", "--", *self._ledger())
        return [self._entry(*line.strip("\n").split("\0")) for line in log.split("\x01") if line.strip()]

    def entry(self, commit: str) -> Entry:
        """What one commit says."""
        return self._entry(*git.text("log", "-1", f"--format={FORMAT}", commit).rstrip("\x01").split("\0"))

    def _entry(self, commit: str, time: str, subject: str, action: str, label: str, outcome: str, reason: str) -> Entry:
        when = datetime.datetime.fromtimestamp(int(time), datetime.UTC).isoformat()
        if action:
            return Entry(when, action, label, outcome, reason)
        document = git.show(commit, f"{self.folder}/release.json")
        try:
            release = json.loads(document or b"")
            label = f"{release['version']}-{release['id'][:12]}"
        except (ValueError, KeyError, TypeError):
            label = "–"
        return Entry(when, "edit", label, "promoted", subject)

    def find(self, which: str, *revisions: str) -> Release:
        """The newest release so called that any environment's ledger holds, this one's first. Raises YourTurn if there is none.

        In the history of HEAD, or of `revisions`.
        """
        for pattern in (self.folder, FOLDER):
            log = git.text("log", *revisions, "--format=%x01%H", "--name-only", "--diff-filter=AM", "--", str(pattern))
            for block in filter(None, log.split("\x01")):
                commit, *paths = block.split()
                for path in (p for p in paths if p.endswith("/release.json")):
                    release = _parse(git.show(commit, path) or b"", path)
                    if release.is_called(which):
                        return release
        raise YourTurn(
            f"release {which} is in no ledger of this clone",
            f"./pipeline history {self.name}; or git fetch --unshallow",
        )

    def write(self, release: Release, revision: str, entry: Entry) -> str | None:
        """Commits the folder as it is in `revision`, with `release` in it. Returns the commit; None where HEAD has just that."""
        wanted = self._files(release, revision)
        committed = self._committed("HEAD")
        self._refuse_changes(wanted, committed)
        if wanted == committed:
            self._place(wanted, committed)
            return None
        self._place(wanted, committed)
        git.git("add", "--all", "--", str(self.folder))
        git.git(
            *identity(),
            "commit",
            "--quiet",
            "--no-verify",
            "--only",
            "-m",
            self._message(entry),
            "--",
            str(self.folder),
        )
        return git.text("rev-parse", "HEAD")

    def _files(self, release: Release, revision: str) -> dict[str, bytes]:
        content = self._committed(revision)
        text = content["kustomization.yaml"].decode()
        content["kustomization.yaml"] = kustomization.with_images(text, self.file, release.images).encode()
        content["release.json"] = (json.dumps(release.document, indent=2, allow_nan=False) + "\n").encode()
        return content

    def _committed(self, revision: str) -> dict[str, bytes]:
        paths = git.text("ls-tree", "-r", "-z", "--name-only", f"{revision}:{self.folder}").split("\0")
        return {path: git.show(revision, f"{self.folder}/{path}") or b"" for path in paths if path}

    def _refuse_changes(self, wanted: dict[str, bytes], committed: dict[str, bytes]) -> None:
        """Someone's edit must not slip into the commit; what an interrupted run of this very commit has written may."""
        for name in committed.keys() | wanted.keys():
            path = self.folder / name
            here = path.read_bytes() if path.exists() else None
            if here not in (committed.get(name), wanted.get(name)):
                raise YourTurn(f"{path} has changes that are not committed", f"git commit or git restore {path}")

    def _place(self, wanted: dict[str, bytes], committed: dict[str, bytes]) -> None:
        for name, content in wanted.items():
            if not (self.folder / name).exists() or (self.folder / name).read_bytes() != content:
                files.write(self.folder / name, content.decode())
        for name in committed.keys() - wanted.keys():
            (self.folder / name).unlink(missing_ok=True)

    def _message(self, entry: Entry) -> str:
        values = {"Action": entry.action, "Release": entry.release, "Outcome": entry.outcome, "Reason": entry.reason}
        trailers = [f"{key}: {' '.join(value.split())}" for key, value in values.items() if value]
        return f"{self.name}: {entry.action} {entry.release}\n\n" + "\n".join(trailers)

    def _ledger(self) -> list[str]:
        return [self.file, f"{self.folder}/release.json"]


def _parse(document: bytes, source: str) -> Release:
    try:
        parsed = json.loads(document)
    except ValueError as error:
        raise YourTurn(f"{source} is corrupt or missing: {error}", "./pipeline promote ENV writes it") from None
    releases.validate(parsed, source)
    return Release(Path(source).parent, parsed)


def identity() -> list[str]:
    """Who commits: whoever git knows; in a workflow, where it knows nobody, the pipeline."""
    known = not subprocess.run(["git", "var", "GIT_COMMITTER_IDENT"], capture_output=True).returncode
    return [] if known else ["-c", "user.name=pipeline", "-c", "user.email=pipeline@localhost"]
