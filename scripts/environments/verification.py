"""Does this server serve this release, and answer its golden examples by REST and by gRPC?

The first examples of a model are asked as clients ask, one by one. The rest are asked several to a request, which is much faster; an
example answered wrongly that way is asked again by itself, and only that answer counts.

A server that gives no answer is asked again from the beginning, since the request may have been lost on the way; after that no further.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import groupby
from operator import itemgetter
from typing import Any

from scripts.environments.client import Endpoint, NoAnswer, Silent
from scripts.release import golden
from scripts.release.releases import Release

Example = dict[str, Any]
ALONE = 8  # examples of a model that are asked one by one in any case
ROWS = 32  # in one request: fewer than serving/batching.config allows in one batch


def problems(endpoint: Endpoint, release: Release) -> list[str]:
    """Everything that is wrong, in words; empty if all is right."""
    with suppress(Silent):
        return _problems(endpoint, release)
    try:
        return _problems(endpoint, release)
    except Silent as error:
        return [f"{error}, twice: it was asked no further"]


def _problems(endpoint: Endpoint, release: Release) -> list[str]:
    found = []
    with endpoint.connected() as connected:
        for model in release.models:
            try:
                wrong = _problems_of_model(connected, release.version, model)
            except Silent as error:
                raise Silent(f"{model['name']}: {error}") from None
            found += [f"{model['name']}: {problem}" for problem in wrong]
    return found


def _problems_of_model(endpoint: Endpoint, version: int, model: dict[str, Any]) -> list[str]:
    try:
        available = [v for v, (state, _) in endpoint.status(model["name"]).items() if state == "AVAILABLE"]
    except Silent:
        raise
    except NoAnswer as error:
        return [str(error)]
    if available != [version]:
        return [f"version {', '.join(map(str, available)) or 'none'} is served, not {version}"]
    ways = {
        "REST": lambda example: _by_rest(endpoint, model, example),
        "gRPC": lambda example: _by_grpc(endpoint, version, model, example),
    }
    examples = list(enumerate(model["examples"], 1))
    found = []
    for by, ask in ways.items():
        right = _right_together(ask, examples[ALONE:])
        for number, example in examples:
            if endpoint.way and endpoint.way.trouble:
                return []  # not the server's fault
            if number not in right and (problem := _problem(ask, example, f"example {number} by {by}")):
                found.append((number, problem))
    return [text for _, text in sorted(found, key=itemgetter(0))]


def _problem(ask: Callable[[Example], dict[str, Any]], example: Example, which: str) -> str | None:
    try:
        problem = golden.difference(example["outputs"], ask(example), example["tolerance"])
    except Silent as error:
        raise Silent(f"{which}: {error}") from None
    except NoAnswer as error:
        problem = str(error)
    return f"{which}: {problem}" if problem else None


def _by_rest(endpoint: Endpoint, model: dict[str, Any], example: Example) -> dict[str, Any]:
    outputs = endpoint.predict_by_rest(model["name"], example["inputs"], example.get("signature", ""))
    # TensorFlow Serving leaves the name of a single output out.
    return {next(iter(example["outputs"])): outputs} if len(example["outputs"]) == 1 else outputs


def _by_grpc(endpoint: Endpoint, version: int, model: dict[str, Any], example: Example) -> dict[str, Any]:
    dtypes, signature = golden.dtypes(model, example), example.get("signature", "")
    answered, outputs = endpoint.predict_by_grpc(model["name"], example["inputs"], dtypes, signature)
    if answered != version:
        raise NoAnswer(f"version {answered} answers, not {version}")
    return outputs


def _right_together(ask: Callable[[Example], dict[str, Any]], examples: list[tuple[int, Example]]) -> set[int]:
    """The numbers of the examples that are answered rightly in a request with others."""
    right = set()
    for batch in _batches(examples):
        try:
            outputs = ask(_joined([example for _, example in batch]))
        except Silent:  # many rows may take too long, where one does not
            return right
        except NoAnswer:
            continue
        begin = 0
        for number, example in batch:
            end = begin + (_rows(example) or 0)
            own = {name: value[begin:end] for name, value in outputs.items() if isinstance(value, list)}
            if not golden.difference(example["outputs"], own, example["tolerance"]):
                right.add(number)
            begin = end
    return right


def _batches(examples: list[tuple[int, Example]]) -> Iterator[list[tuple[int, Example]]]:
    """Neighbours that fit together, several to a request."""
    for shape, group in groupby(examples, lambda numbered: _shape(numbered[1])):
        batch, rows = [], 0
        for numbered in group if shape else []:
            more = _rows(numbered[1]) or 0
            if batch and rows + more > ROWS:
                yield batch
                batch, rows = [], 0
            batch.append(numbered)
            rows += more
        if len(batch) > 1:
            yield batch


def _rows(example: Example) -> int | None:
    """The number of rows that all inputs and outputs share; None if they share none (a scalar has no rows)."""
    values = [*example["inputs"].values(), *example["outputs"].values()]
    lengths = {len(value) if isinstance(value, list) else None for value in values}
    return lengths.pop() if len(lengths) == 1 else None


def _shape(example: Example) -> str:
    """A key that is equal for examples that can share a request; empty for an example that must be alone."""
    rows = {name: value[:1] for name, value in sorted(example["inputs"].items()) if isinstance(value, list)}
    return f"{example.get('signature')} {_form(rows)}" if _rows(example) else ""


def _form(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _form(inner) for name, inner in value.items()}
    return [len(value), *([_form(value[0])] if value else [])] if isinstance(value, list) else None


def _joined(examples: list[Example]) -> Example:
    def join(part: str) -> dict[str, Any]:
        return {name: [row for e in examples for row in e[part][name]] for name in examples[0][part]}

    return examples[0] | {"inputs": join("inputs"), "outputs": join("outputs")}
