"""The user's environment variables and limits: some must not reach the pipeline.

Standard library only: it runs before anything is installed.
"""

import os
import re
import resource
from pathlib import Path

from scripts.workspace.errors import YourTurn

LOOPBACK = ["localhost", "127.0.0.1", "::1"]
BUNDLES = ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE", "PIP_CERT"]  # an organisation's certificates
# Any other PYTHON… variable changes the imports, and so the trained and served model.
KEPT = re.compile(r"PYTHON(BREAKPOINT|FAULTHANDLER|HASHSEED|PYCACHEPREFIX|TRACEMALLOC|UNBUFFERED)$")
PIP = {  # settings that would put uv elsewhere than .uv, or prevent its installation; empty overrides a pip.conf too
    "PIP_ROOT_USER_ACTION": "ignore",  # pip warns the root user in every container
    **dict.fromkeys(["PIP_REQUIRE_VIRTUALENV", "PIP_USER", "PIP_DRY_RUN"], "0"),
    **dict.fromkeys(["PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_CONSTRAINT", "PIP_NO_BINARY", "PIP_PYTHON"], ""),
}
UV = re.compile(
    r"UV_(SYSTEM_PYTHON|PYTHON|(BUILD_)?CONSTRAINT|OVERRIDE|EXCLUDE_NEWER|NO_BINARY.*|NO_BUILD.*|TARGET|PREFIX)$"
)
OPEN_FILES = 4096  # macOS begins with 256, and a server has a file for each connection


def settle() -> None:
    """Makes this process, and those that it starts, the same on every machine. Raises YourTurn where certificates are missing."""
    for name in [name for name in os.environ if name.startswith("PYTHON") and not KEPT.match(name)]:
        del os.environ[name]
    os.environ["PYTHONUTF8"] = "1"  # in every locale; effective from the next Python process
    _keep_loopback_off_proxies()
    if bundle := _bundle():
        os.environ.setdefault("REQUESTS_CA_BUNDLE", bundle)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def of_installers() -> dict[str, str]:
    """The environment of pip and uv: the user's proxies, indexes and certificates, without settings for versions or places."""
    environment = {name: value for name, value in os.environ.items() if not UV.match(name)} | PIP
    if bundle := _bundle():
        environment = {"SSL_CERT_FILE": bundle, "PIP_CERT": bundle} | environment
    cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    if not os.access(next(folder for folder in (cache, *cache.parents) if folder.exists()), os.W_OK):
        environment.setdefault("UV_CACHE_DIR", str(Path(".uv/cache").absolute()))
    return environment


def _keep_loopback_off_proxies() -> None:
    """Excludes this computer's own servers, and forwarded ports of pods, from the proxies."""
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return
    names = ["no_proxy", "NO_PROXY", *(["no_grpc_proxy"] if "no_grpc_proxy" in os.environ else [])]
    present = [host.strip() for name in names for host in os.environ.get(name, "").split(",")]
    if "*" in present:  # alone it means no proxy at all; in a list most programs take it for a host
        os.environ |= dict.fromkeys(names, "*")
        return
    for name in names:
        os.environ[name] = ",".join(dict.fromkeys([*filter(None, present), *LOOPBACK]))


def _bundle() -> str:
    """The first certificate file named in BUNDLES: programs differ in the variable that they read."""
    for name in BUNDLES:
        if (path := os.environ.get(name, "")) and not Path(path).exists():
            raise YourTurn(
                f"{name} names the certificates {path}, and there is no such file", f"unset {name}, or mend it"
            )
    return next((path for name in BUNDLES if os.path.isfile(path := os.environ.get(name, ""))), "")
