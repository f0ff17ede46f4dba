"""Buckets of three clouds, each on loopback: moto is locked; Google's and Azure's emulators are where their programs are on the PATH."""

import base64
import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import requires
from tests.support import aws
from tests.support.fork import ROOT
from tests.support.ports import free_ports

LOCK = ROOT / "requirements/clouds.txt"
ACCOUNT = "devstoreaccount1"  # azurite's, and its key: both are public
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@contextlib.contextmanager
def google(folder: Path) -> Iterator[dict[str, str]]:
    if not (program := shutil.which("fake-gcs-server")):
        pytest.skip("fake-gcs-server is not on the PATH: go install github.com/fsouza/fake-gcs-server@v1.56.1")
    port, _ = free_ports()
    url = f"http://127.0.0.1:{port}"
    command = [
        program,
        "-scheme",
        "http",
        "-host",
        "127.0.0.1",
        "-port",
        str(port),
        "-backend",
        "memory",
        "-public-host",
        url[7:],
    ]
    with aws.serving(command, f"{url}/storage/v1/b", folder):
        yield {
            "STORAGE_EMULATOR_HOST": url,
            "FSSPEC_GS_TOKEN": "anon",
            "FSSPEC_GS_PROJECT": "any",
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        }


@contextlib.contextmanager
def azure(folder: Path) -> Iterator[dict[str, str]]:
    if not (program := shutil.which("azurite-blob")):
        requires("tools", "azurite-blob is not on the PATH: npm install --global azurite")
    port, _ = free_ports()
    url = f"http://127.0.0.1:{port}"
    command = [program, "--blobPort", str(port), "--inMemoryPersistence", "--skipApiVersionCheck", "--silent"]
    with aws.serving(command, url, folder):
        account = f"AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={url}/{ACCOUNT};"
        yield {"AZURE_STORAGE_CONNECTION_STRING": f"DefaultEndpointsProtocol=http;{account}"}


def packages(lock: Path) -> Path:
    (found,) = aws.environment(lock).parent.glob("lib/*/site-packages")
    return found


def without_key(variables: dict[str, str]) -> dict[str, str]:
    """Those of somebody who may not read; none where an emulator lets everybody in."""
    other = base64.b64encode(bytes(64)).decode()
    return {name: value.replace(KEY, other) for name, value in variables.items() if KEY in value} | {
        name: "" for name in variables if "ACCESS_KEY" in name
    }


# By scheme: what starts it and yields its variables, and the lock of what reads it.
CLOUDS = {"s3": (aws.running, aws.LOCK), "gs": (google, LOCK), "az": (azure, LOCK)}
