"""The settings table: everything that is not known is refused, with the nearest that is."""

from dataclasses import fields

import pytest

from scripts.workspace.settings import Settings
from tests.support.fork import ROOT, Fork

READY = "ready_timeout_seconds = 300"
WRONG = "setting 'ready_timeout_seconds' in [tool.pipeline] must"

BAD = {
    "unknown key": (
        READY,
        "ready_timeout = 300",
        "unknown setting 'ready_timeout' in [tool.pipeline]; did you mean 'ready_timeout_seconds'?",
    ),
    "key like no other": (
        READY,
        "zzz = 1",
        "unknown setting 'zzz' in [tool.pipeline]; there is: models, rest_port, grpc_port, image, model_volume, server, platforms, ",
    ),
    "text for a number": (READY, f'{READY[:-3]}"300"', f"{WRONG} be a whole number, not '300'"),
    "truth for a number": (READY, f"{READY[:-3]}true", f"{WRONG} be a whole number, not True"),
    "text for a list": (
        'models = ["instant"]',
        'models = "instant"',
        "setting 'models' in [tool.pipeline] must be a list of strings, not 'instant'",
    ),
    "no models": ('models = ["instant"]', "models = []", 'no setting "models" in [tool.pipeline]: nothing to train'),
    "no such way to an environment": (
        'by = "commit"',
        'by = "push"',
        "[tool.pipeline.environments.dev] has by = 'push'; there is: context = \"…\", by = commit or pull-request",
    ),
    "a freeze without a zone": (
        'by = "commit"',
        'freeze = ["Fri 16:00 – Mon 08:00"], by = "commit"',
        "freeze in [tool.pipeline.environments.dev]: 'Fri 16:00 – Mon 08:00' has no zone: ",
    ),
    "a freeze that is no list": (
        'by = "commit"',
        'freeze = "weekends", by = "commit"',
        "freeze in [tool.pipeline.environments.dev]: must be a list of strings, not 'weekends'",
    ),
    **{
        f"a canary {defect}": (
            'by = "commit"',
            f'canary = {canary}, by = "commit"',
            f"canary in [tool.pipeline.environments.dev]: {message}",
        )
        for defect, canary, message in (
            (
                "of no steps",
                "{ minutes = 5 }",
                "steps must be shares of the requests that grow, in %, such as [5, 25], not []",
            ),
            (
                "that shrinks",
                "{ steps = [25, 5] }",
                "steps must be shares of the requests that grow, in %, such as [5, 25], not ",
            ),
            ("of everything", "{ steps = [100] }", "steps must be shares of the requests that grow, in %, such as "),
            (
                "with a bound like no other",
                "{ steps = [5], p50 = 3 }",
                "has 'p50'; there is: steps, minutes, requests, ",
            ),
            ("that is no table", "5", "must be a table of: steps, minutes, requests, errors, slower, quiet"),
            ("that must be faster", "{ steps = [5], slower = 0.5 }", "slower must be a number from 1 on, not 0.5"),
            ("of true", "{ steps = [5], errors = true }", "errors must be a number from 0 on, not True"),
            ("that is quiet", '{ steps = [5], quiet = "ok" }', "quiet must be 'take-back' or 'go-on', not 'ok'"),
            (
                "of a day",
                "{ steps = [5, 25], minutes = 720 }",
                "takes 1440 minutes in all, and a workflow's login to its ",
            ),
        )
    },
    "no such wish": (
        'attestation = "where-possible"',
        'attestation = "never"',
        "setting 'attestation' in [tool.pipeline] must be 'where-possible' or 'required', not 'never'",
    ),
    "no such server": (
        'attestation = "where-possible"',
        'server = "triton"',
        "setting 'server' in [tool.pipeline] must be 'tensorflow-serving' or 'embedded', not 'triton'",
    ),
    "no such platform": (
        'attestation = "where-possible"',
        'platforms = ["linux/arm"]',
        "no platform 'linux/arm'; did you mean 'linux/arm64'?",
    ),
    "a platform that TensorFlow Serving has not": (
        'attestation = "where-possible"',
        'platforms = ["linux/arm64"]',
        "platforms in [tool.pipeline] names linux/arm64, for which TensorFlow Serving has no image",
    ),
    **{
        f"a training {defect}": (
            "[tool.pipeline.environments]",
            f"[tool.pipeline.training]\n{line}\n[tool.pipeline.environments]",
            message,
        )
        for defect, line, message in (
            (
                "with a key like no other",
                "gpu = 1",
                "[tool.pipeline.training] has 'gpu'; there is: workers, cpu, memory, gpus, nodes, ",
            ),
            (
                "by nobody",
                "workers = 0",
                "[tool.pipeline.training] workers must be a number from 1 on, not 0",
            ),
            (
                "of one model",
                "instant = { memory = 4 }",
                "[tool.pipeline.training] instant: memory must be like '4Gi', not 4",
            ),
            (
                "without a unit",
                'memory = "4 GB"',
                "[tool.pipeline.training] memory must be a quantity as Kubernetes writes it, ",
            ),
            (
                "on no such nodes",
                "nodes = { gpu = 3 }",
                "[tool.pipeline.training] nodes must be labels, which are strings, ",
            ),
            (
                "for no such architecture",
                'nodes = { "kubernetes.io/arch" = "s390x" }',
                "[tool.pipeline.training] nodes has kubernetes.io/arch = 's390x'; TensorFlow is for amd64 and arm64",
            ),
        )
    },
    "model without a file": (
        'models = ["instant"]',
        'models = ["instnt"]',
        "no model 'instnt' in model/; did you mean 'instant'?",
    ),
    "not TOML": ('models = ["instant"]', "models =", "pyproject.toml is not valid TOML: "),
}


@pytest.mark.parametrize("defect", BAD)
def test_refuses(shared_fork: Fork, defect: str) -> None:
    old, new, message = BAD[defect]
    before = (shared_fork.root / "pyproject.toml").read_text()
    shared_fork.edit("pyproject.toml", old, new)
    try:
        result = shared_fork.run("train")
    finally:
        (shared_fork.root / "pyproject.toml").write_text(before)
    assert result.code == 1
    assert result.err.splitlines()[0].startswith(f"error: {message}")
    assert result.err.splitlines()[1].startswith("  next: ")


def test_pyproject_shows_every_setting() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    for field in fields(Settings):
        assert f"\n{field.name} = " in text or f"\n[tool.pipeline.{field.name}]" in text, field.name


def test_only_the_first_environment_is_reached_by_a_commit_where_it_is_not_said() -> None:
    settings = Settings(["m"], environments={"dev": {}, "staging": {"by": "commit"}, "production": {"context": "c"}})
    assert [settings.by(name) for name in settings.environments] == ["commit", "commit", "pull-request"]
