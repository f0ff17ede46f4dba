"""Does this server serve this release, and answer its golden examples by REST and by gRPC?"""

from typing import Any

from scripts.environments.client import Endpoint, NoAnswer
from scripts.release import golden
from scripts.release.releases import Release


def problems(endpoint: Endpoint, release: Release) -> list[str]:
    """Everything that is wrong, in words; empty if all is right."""
    with endpoint.connected() as connected:
        return [
            f"{model['name']}: {problem}"
            for model in release.models
            for problem in _problems_of_model(connected, release.version, model)
        ]


def _problems_of_model(endpoint: Endpoint, version: int, model: dict[str, Any]) -> list[str]:
    try:
        available = [v for v, (state, _) in endpoint.status(model["name"]).items() if state == "AVAILABLE"]
    except NoAnswer as error:
        return [str(error)]
    if available != [version]:
        return [f"version {', '.join(map(str, available)) or 'none'} is served, not {version}"]
    found = []
    for number, example in enumerate(model["examples"], 1):
        for ask in (_ask_rest, _ask_grpc):
            if endpoint.way and endpoint.way.trouble:
                return found  # which says nothing of the server
            try:
                problem = ask(endpoint, version, model, example)
            except NoAnswer as error:
                problem = str(error)
            if problem:
                found.append(f"example {number} by {'REST' if ask is _ask_rest else 'gRPC'}: {problem}")
    return found


def _ask_rest(endpoint: Endpoint, version: int, model: dict[str, Any], example: dict[str, Any]) -> str | None:
    outputs = endpoint.predict_by_rest(model["name"], example["inputs"], example.get("signature", ""))
    if len(example["outputs"]) == 1:  # TensorFlow Serving leaves the name of a single output out
        outputs = {next(iter(example["outputs"])): outputs}
    return golden.difference(example["outputs"], outputs, example["tolerance"])


def _ask_grpc(endpoint: Endpoint, version: int, model: dict[str, Any], example: dict[str, Any]) -> str | None:
    dtypes, signature = golden.dtypes(model, example), example.get("signature", "")
    answered, outputs = endpoint.predict_by_grpc(model["name"], example["inputs"], dtypes, signature)
    if answered != version:
        return f"version {answered} answers, not {version}"
    return golden.difference(example["outputs"], outputs, example["tolerance"])
