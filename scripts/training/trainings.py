"""Every judged training, kept to be compared: its constants, metrics, curves and surroundings -> build/trainings/MODULE/.

Where MLFLOW_TRACKING_URI is set, MLflow is told too, by its own library.
"""

from __future__ import annotations

import ast
import contextlib
import datetime
import importlib
import importlib.util
import json
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from scripts.release import identity, parsing
from scripts.training import models
from scripts.workspace import checkout, console, files
from scripts.workspace.errors import YourTurn

FOLDER = Path("build/trainings")
PACKAGES = ["tensorflow", "tensorflow-cpu", "keras", "numpy"]  # of TensorFlow, whichever is installed


def note(module: str) -> None:
    """Keeps the training that was judged last, if it is of the present code, which has one record: that of a commit, where there is one."""
    try:
        evaluation = models.record(module, "evaluation.json", "evaluate")
    except YourTurn:  # nothing was judged: the error of that is told
        return
    history = json.loads((models.folder(module) / "history.json").read_text())  # of the weights that were just checked
    path = FOLDER / module / f"{identity.of_model(module).judged[:12]}.json"
    if path.exists() and not json.loads(path.read_text())["dirty"]:
        return  # the same code again, perhaps on another branch or beside changes of another model
    record = {
        "module": module,
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "branch": checkout.branch(),
        **vars(checkout.read()),
        "constants": constants(Path("model") / f"{module}.py"),
        "sources": evaluation["sources"],
        "parts": evaluation["parts"],
        "metrics": evaluation["metrics"],
        "passed": evaluation["passed"],
        "curves": history["curves"],
        "training_seconds": history["seconds"],
        "environment": {"python": platform.python_version(), "machine": platform.platform()} | _versions(),
    }
    files.write_json(path, record)
    _tell_mlflow(record)


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def constants(path: Path) -> dict[str, Any]:
    """The numbers, strings and lists that a model file names in capitals, without those of the contract."""
    found = {}
    for statement in parsing.statements(path):
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            name = statement.targets[0].id
            if name.isupper() and name not in ("NAME", "LABELS", "PREDICTIONS"):
                try:
                    found[name] = ast.literal_eval(statement.value)
                except ValueError:
                    continue  # computed, or of the contract
    return json.loads(json.dumps(found, default=str))


def read(module: str) -> list[dict[str, Any]]:
    """The records of a model, oldest first, each with its name: the beginning of its identity."""
    found = [json.loads(path.read_text()) | {"name": path.stem} for path in (FOLDER / module).glob("*.json")]
    return sorted(found, key=lambda record: record["time"])


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What differs between two trainings: constants by their values, else the parts of their identities."""
    old, new = before["constants"], now["constants"]
    names = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    return [f"{name} {old.get(name)} → {new.get(name)}" for name in names] or identity.differences(
        before["parts"], now["parts"]
    )


def _tell_mlflow(record: dict[str, Any]) -> None:
    """Logs a run. What MLflow cannot take is said, and is no failure of the model."""
    if not (server := os.environ.get("MLFLOW_TRACKING_URI")):
        return
    if not importlib.util.find_spec("mlflow"):
        console.say(
            "  evaluate   MLFLOW_TRACKING_URI is set, and mlflow is not installed; next: ./pipeline add mlflow-skinny"
        )
        return
    mlflow = importlib.import_module("mlflow")
    try:
        mlflow.set_experiment(record["module"])
        with mlflow.start_run(run_name=f"{record['branch'] or 'detached'} {str(record['commit'])[:8]}"):
            mlflow.log_params(
                record["constants"] | {f"source {name}": one["sha256"] for name, one in record["sources"].items()}
            )
            mlflow.set_tags(record["environment"] | {"commit": str(record["commit"]), "passed": str(record["passed"])})
            for name, values in record["curves"].items():
                for epoch, value in enumerate(values, 1):
                    if value is not None:
                        mlflow.log_metric(name, value, step=epoch)
            mlflow.log_metrics(
                {f"held out {name}": value for name, value in record["metrics"].items() if value is not None}
            )
    except Exception as error:  # of a server, of its library, of a name that it does not take
        console.say(
            f"  evaluate   MLflow at {server} did not take the run: {type(error).__name__}: {str(error).splitlines()[0]}"
        )
