"""How a person asks the server of this computer: a curl line for each model, which works when it is pasted."""

import json
import shlex
from typing import Any

from scripts.environments import client, local
from scripts.environments.local import Local
from scripts.release.releases import Release
from scripts.workspace import console, files

LONG = 200  # characters of a request: a longer one is not shown on a terminal


def tell(here: Local, release: Release) -> None:
    """In the row format if the model has one input, else in the column format. A long body goes to a file."""
    endpoint = here.endpoint()
    for model in release.models:
        url = f"http://localhost:{endpoint.rest_port}/v1/models/{model['name']}:predict"
        body = _body(model["examples"][0])
        if len(body) > LONG:
            file = local.FOLDER / f"request-{model['name']}.json"
            files.write(file, body)
            body = f"@{file}"
        console.tell(f"\n{model['name']} answers at {url}\n  curl -d {shlex.quote(body)} {url}")


def _body(example: dict[str, Any]) -> str:
    inputs, signature = example["inputs"], example.get("signature", "")
    rows = len(inputs) == 1 and not signature
    asked = {"instances": next(iter(inputs.values()))} if rows else client.body(inputs, signature)
    return json.dumps(asked, ensure_ascii=False)  # it is read by people, and curl sends UTF-8
