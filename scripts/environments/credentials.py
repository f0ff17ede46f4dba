"""Credentials for a cluster: those of the kubeconfig, read again, or fetched again by its exec plugin, once they have expired."""

import base64
import datetime
import json
import os
import re
import ssl
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.workspace.errors import YourTurn

if TYPE_CHECKING:
    from kubernetes.client import Configuration


class Credentials:
    """`configuration` and `pool` are kubernetes' own; both are new after `renew`."""

    def __init__(self, environment: str, context: str):
        self.environment, self.context = environment, context
        self._lock, self._renewals = threading.Lock(), 0
        self.configuration, self.pool = self._load()

    def _load(self) -> tuple["Configuration", Any]:
        import kubernetes.config  # 0.8 s, and most verbs ask no cluster

        try:
            file = os.environ.get("KUBECONFIG")  # as it is now: the library keeps what it was when it was imported
            client = kubernetes.config.new_client_from_config(file, self.context or None)
        except kubernetes.config.ConfigException as error:
            where = f"KUBECONFIG={file}" if file else "KUBECONFIG is not set"
            problem = f"no usable kubeconfig for {self.environment}: {error} ({where})"
            raise YourTurn(problem, "kubectl config get-contexts") from None
        return client.configuration, client.rest_client.pool_manager

    @property
    def renewals(self) -> int:
        return self._renewals

    def renew(self, seen: int) -> None:
        """Renews once for all threads that were refused with the credentials of renewal number `seen`."""
        with self._lock:
            if self._renewals == seen:
                self.configuration, self.pool = self._load()
                self._renewals += 1

    def header(self) -> dict[str, str]:
        token = self.configuration.get_api_key_with_prefix("BearerToken", "authorization")
        return {"Authorization": token} if token else {}

    def refused(self) -> YourTurn:
        """The error for credentials that the API server rejects even after a renewal."""
        problem = f"the cluster of {self.environment} does not accept these credentials{self._expiry()}"
        remedy = "renew the credentials in the kubeconfig (kubectl config view), then the same command again"
        return YourTurn(problem, remedy)

    def _expiry(self) -> str:
        """When the credentials expired, if they say so: a client certificate or a token does."""
        if self.configuration.cert_file:
            seconds, what = _expiry_of_certificate(self.configuration.cert_file), "the certificate"
        else:
            seconds, what = _expiry_of_token(self.configuration.api_key.get("BearerToken", "")), "the token"
        if not seconds or seconds > time.time():
            return ": it knows no such user"
        return f": {what} expired on {time.strftime('%Y-%m-%d %H:%M', time.gmtime(seconds))} UTC"


def _expiry_of_certificate(file: str) -> float | None:
    """Its `notAfter`: RFC 5280 writes a validity as a sequence of two times, of two or four digits for the year."""
    pem = re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", Path(file).read_text(), re.DOTALL)
    der = ssl.PEM_cert_to_DER_cert(pem[0]) if pem else b""
    found = re.search(rb"\x30.(?:\x17\x0d\d{12}Z|\x18\x0f\d{14}Z)(?:\x17\x0d|\x18\x0f)(\d{12,14})Z", der, re.DOTALL)
    if not found:
        return None
    text = found[1].decode()
    century = "" if len(text) == 14 else "19" if text >= "5" else "20"
    return datetime.datetime.strptime(f"{century}{text} +0000", "%Y%m%d%H%M%S %z").timestamp()


def _expiry_of_token(token: str) -> float | None:
    """The `exp` of a JSON Web Token; None of any other."""
    try:
        payload = token.removeprefix("Bearer ").split(".")[1]
        return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"]
    except (IndexError, ValueError, KeyError, TypeError):
        return None
