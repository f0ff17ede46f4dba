"""history: newest first, a screen of it; what was done by hand stands there, too."""

import json
from pathlib import Path

from tests.support.fork import Fork
from tests.test_promote import OVERLAY, push, release


def test_history_shows_a_screen_unless_told_otherwise(served: Fork) -> None:
    ledger = served.root / "build/local/history.jsonl"
    kept = ledger.read_text()
    entry = json.loads(kept.splitlines()[-1])
    lines = [json.dumps(entry | {"time": f"2020-01-01T00:{minute:02}:00+00:00"}) for minute in range(30)]
    ledger.write_text("\n".join(lines) + "\n")
    try:
        few, many = served.ok("history", "local"), served.ok("history", "local", "--all")
    finally:
        ledger.write_text(kept)
    assert [line.split()[0] for line in few.out.splitlines()[2:4]] == ["2020-01-01T00:29:00", "2020-01-01T00:28:00"]
    assert (len(few.out.splitlines()), len(many.out.splitlines())) == (22, 32)
    assert few.err == "the last 20 of 30; next: ./pipeline history local --all\n"


def test_a_hand_written_edit_stands_in_the_history_by_its_subject(tmp_path: Path) -> None:
    small = Fork(tmp_path / "fork")
    push(small, release(1))
    small.ok("promote", "dev")
    small.edit(f"{OVERLAY}/kustomization.yaml", "components: []", "components: [../../components/gpu]")
    small.commit("A GPU for dev")
    newest = small.ok("history", "dev").out.splitlines()[2].split()
    assert newest[1:3] == ["edit", "1750000001-111111111111"]
    assert newest[-4:] == ["A", "GPU", "for", "dev"]
