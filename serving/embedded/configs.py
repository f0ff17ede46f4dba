"""The configuration files: text protocol buffers, read with TensorFlow Serving's error texts."""

import logging
import ssl
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from google.protobuf.message import Message

from .batching import Parameters
from .errors import invalid, not_found
from .http import http2
from .protos import CONFIGS, model_server_config_pb2

log = logging.getLogger("configs")


def read(path: str, message: Message) -> Any:
    """Fills `message` from the file. Raises NOT_FOUND without the file, INVALID_ARGUMENT if it is empty or wrong."""
    try:
        content = Path(path).read_text()
    except FileNotFoundError:
        raise not_found(f"{path}; No such file or directory") from None
    except (OSError, UnicodeDecodeError) as error:
        raise invalid(f"{path}; {getattr(error, 'strerror', None) or 'not text'}") from None
    if not content:
        raise invalid(f"{path}; Invalid argument")
    try:
        return text_format.Parse(content, message)
    except text_format.ParseError as error:
        raise invalid(f"Invalid protobuf file: '{path}' ({' '.join(str(error).split())})") from None


def models(path: str) -> model_server_config_pb2.ModelConfigList:
    """The models of a ModelServerConfig file."""
    config = read(path, model_server_config_pb2.ModelServerConfig())
    if config.WhichOneof("config") == "custom_model_config":
        raise invalid("custom_model_config is not supported")
    return config.model_config_list


def single_model(name: str, base_path: str) -> model_server_config_pb2.ModelConfigList:
    """What --model_name and --model_base_path say."""
    config = model_server_config_pb2.ModelConfigList()
    config.config.add(name=name, base_path=base_path, model_platform="tensorflow")
    return config


def batching(path: str, defaults: Parameters) -> Parameters:
    """A BatchingParameters file over `defaults`."""
    message = read(path, CONFIGS["BatchingParameters"]())
    given = {
        "max_batch_size": message.max_batch_size,
        "max_enqueued_batches": message.max_enqueued_batches,
        "threads": message.num_batch_threads,
    }
    values = {name: value.value for name, value in given.items() if message.HasField(_FIELDS.get(name, name))}
    if message.HasField("batch_timeout_micros"):
        values["timeout_seconds"] = message.batch_timeout_micros.value / 1e6
    return replace(
        defaults, **values, allowed_sizes=tuple(message.allowed_batch_sizes), pad=message.pad_variable_length_inputs
    )


_FIELDS = {"threads": "num_batch_threads"}

METRICS_PATH = "/monitoring/prometheus/metrics"


def metrics_path(path: str) -> str:
    """Where a MonitoringConfig file wants the metrics; empty for nowhere."""
    prometheus = read(path, CONFIGS["MonitoringConfig"]()).prometheus_config
    return (prometheus.path or METRICS_PATH) if prometheus.enable else ""


def credentials(path: str) -> ssl.SSLContext:
    """TLS as an SSLConfig file wants it: it holds the key and the certificates themselves, not their paths."""
    config = read(path, CONFIGS["SSLConfig"]())
    if not config.server_key or not config.server_cert:
        raise invalid(f"{path}: server_key and server_cert are both needed")
    if config.client_verify and not config.custom_ca:
        raise invalid(f"{path}: client_verify needs custom_ca")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    try:
        # Python reads a key from a file only; this one is readable by nobody else and gone at once.
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write(f"{config.server_key}\n{config.server_cert}\n")
            file.flush()
            context.load_cert_chain(file.name)
        if config.custom_ca:
            context.load_verify_locations(cadata=config.custom_ca)
    except ssl.SSLError as error:
        raise invalid(f"{path}: {error.reason or error}") from None
    if config.client_verify:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


_CHANNEL = {
    "grpc.max_receive_message_length": ("max_message", 1),
    "grpc.max_concurrent_streams": ("max_streams", 1),
    "grpc.max_connection_age_ms": ("max_age", 1e-3),
    "grpc.max_connection_age_grace_ms": ("age_grace", 1e-3),
    "grpc.max_connection_idle_ms": ("max_idle", 1e-3),
}


def channel(arguments: str) -> http2.Options:
    """--grpc_channel_arguments; those without a meaning here are named in a warning."""
    values: dict[str, Any] = {}
    for argument in filter(None, arguments.split(",")):
        name, _, value = argument.partition("=")
        known = _CHANNEL.get(name.strip())
        if known is None:
            log.warning("--grpc_channel_arguments: %s has no effect on the embedded server", name)
        elif value.lstrip("-").isdecimal():
            scaled = int(value) * known[1]
            values[known[0]] = int(scaled) if known[1] == 1 else scaled
        else:
            raise invalid(f"--grpc_channel_arguments: {argument} is not name=number")
    return http2.Options(**values)
