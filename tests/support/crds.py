"""Other projects' resource definitions, out of their Go modules: each kind as a validator of a document."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastjsonschema
from ruamel.yaml import YAML

from tests.conftest import requires


def validators(module: str, *files: str) -> dict[str, Callable]:
    """By kind, for the definitions in these files of the Go module MODULE@VERSION. A field that is not in them is an error."""
    if not shutil.which("go"):
        requires("tools", f"Go is not installed, and the schemas come in the Go module {module}")
    done = subprocess.run(["go", "mod", "download", "-json", module], capture_output=True, text=True)
    if done.returncode:
        requires("tools", f"{module} cannot be had: {done.stdout}{done.stderr}")
    found = {}
    for file in files:
        for crd in YAML(typ="safe").load_all((Path(json.loads(done.stdout)["Dir"]) / file).read_text()):
            (version,) = (version for version in crd["spec"]["versions"] if version["storage"])
            schema = _closed(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"type": "object"}
            found[crd["spec"]["names"]["kind"]] = fastjsonschema.compile(schema)
    return found


def _closed(schema: Any) -> Any:
    """A CRD's schema, without Kubernetes' extensions, in which an unknown field is an error."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {k: _closed(v) for k, v in schema.items() if not k.startswith("x-") and k not in ("format", "description")}
    if re.search(r"\[[^]]*\$", str(result.get("pattern", ""))):
        del result["pattern"]  # fastjsonschema takes $ for the end of the text within a set, too
    if isinstance(result.get("properties"), dict) and "type" in result:
        result.setdefault("additionalProperties", False)
    if result.get("type") == "object" and schema.get("x-kubernetes-preserve-unknown-fields"):
        result["additionalProperties"] = True
    return result
