"""The command line: TensorFlow Serving's flags, plus a few of our own."""

import os
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Flag:
    """`kind` is int32, int64, bool, float or string; `ignored` is accepted with a warning and has no effect here."""

    name: str
    kind: str
    default: Any
    help: str
    ignored: bool = False


def cpu_count() -> float:
    """The CPUs this process may use: its affinity, and the quota of its cgroup."""
    count = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    return min(count, _cgroup_quota() or count)


def _cgroup_quota() -> float | None:
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        pass
    try:
        with open("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") as file:
            quota = file.read()
        with open("/sys/fs/cgroup/cpu/cpu.cfs_period_us") as file:
            return int(quota) / int(file.read()) if int(quota) > 0 else None
    except (OSError, ValueError):
        return None


# TensorFlow Serving takes four threads per CPU of the node; here the container's limit counts.
_THREADS = max(2, int(4 * cpu_count()))

_MEBIBYTE = 1 << 20

FLAGS = (
    Flag("port", "int32", 8500, "TCP port for gRPC; 0 for none."),
    Flag("grpc_socket_path", "string", "", "A UNIX socket for gRPC as well; none if empty."),
    Flag("rest_api_port", "int32", 0, "TCP port for REST; 0 for none. Must differ from --port."),
    Flag("rest_api_num_threads", "int32", _THREADS, "Threads that run models for REST and gRPC."),
    Flag("rest_api_timeout_in_ms", "int32", 30000, "How long a REST call may take."),
    Flag("rest_api_enable_cors_support", "bool", False, "Send CORS headers."),
    Flag("enable_batching", "bool", False, "Batch concurrent requests."),
    Flag(
        "allow_version_labels_for_unavailable_models",
        "bool",
        False,
        "Let a new label name a version that is not available yet.",
    ),
    Flag("batching_parameters_file", "string", "", "A BatchingParameters text protobuf."),
    Flag(
        "enable_per_model_batching_parameters",
        "bool",
        False,
        "Read batching_params.pbtxt of each SavedModel; only the thread pool comes from --batching_parameters_file.",
    ),
    Flag("model_config_file", "string", "", "A ModelServerConfig text protobuf: the models to serve."),
    Flag(
        "model_config_file_poll_wait_seconds",
        "int32",
        0,
        "Seconds between readings of --model_config_file; 0 reads it once.",
    ),
    Flag("model_name", "string", "default", "The model's name, without --model_config_file."),
    Flag("model_base_path", "string", "", "The folder of the model's versions, without --model_config_file."),
    Flag("num_load_threads", "int32", 0, "Threads that load versions; 0 loads one after the other."),
    Flag("num_unload_threads", "int32", 0, "Threads that unload versions.", ignored=True),
    Flag("max_num_load_retries", "int32", 5, "How often a load that failed is tried again."),
    Flag("load_retry_interval_micros", "int64", 60000000, "Microseconds between two tries; negative for none."),
    Flag(
        "file_system_poll_wait_seconds",
        "int32",
        1,
        "Seconds between two looks at the versions on disk; 0 looks only until every model was found.",
    ),
    Flag("flush_filesystem_caches", "bool", True, "Drop file caches after loading.", ignored=True),
    Flag("tensorflow_session_parallelism", "int64", 0, "Both parallelism settings at once; 0 for automatic."),
    Flag("tensorflow_session_config_file", "string", "", "A ConfigProto text protobuf for TensorFlow's sessions."),
    Flag("tensorflow_intra_op_parallelism", "int64", 0, "Threads inside one operation; 0 for automatic."),
    Flag("tensorflow_inter_op_parallelism", "int64", 0, "Operations at the same time; 0 for automatic."),
    Flag("use_alts_credentials", "bool", False, "Google ALTS credentials.", ignored=True),
    Flag("ssl_config_file", "string", "", "An SSLConfig text protobuf: TLS for gRPC."),
    Flag("platform_config_file", "string", "", "A PlatformConfigMap text protobuf.", ignored=True),
    Flag("per_process_gpu_memory_fraction", "float", 0.0, "The share of the GPU's memory to take; 0 for automatic."),
    Flag("saved_model_tags", "string", "serve", "Tags of the graph to load, separated by commas."),
    Flag("grpc_channel_arguments", "string", "", "Arguments of the gRPC server, as name=value, separated by commas."),
    Flag("grpc_max_threads", "int32", _THREADS, "gRPC calls that run models at the same time; others wait."),
    Flag("enable_model_warmup", "bool", True, "Replay the model's warm-up requests before it serves."),
    Flag("num_request_iterations_for_warmup", "int32", 0, "How often each warm-up request is replayed, if above 0."),
    Flag("version", "bool", False, "Print the version and exit."),
    Flag("monitoring_config_file", "string", "", "A MonitoringConfig text protobuf: metrics for Prometheus."),
    Flag("remove_unused_fields_from_bundle_metagraph", "bool", True, "Drop what serving does not need.", ignored=True),
    Flag("prefer_tflite_model", "bool", False, "Prefer TensorFlow Lite models.", ignored=True),
    Flag("num_tflite_pools", "int32", 2, "Pools of TensorFlow Lite interpreters.", ignored=True),
    Flag("num_tflite_interpreters_per_pool", "int32", 1, "TensorFlow Lite interpreters in a pool.", ignored=True),
    Flag("enable_signature_method_name_check", "bool", False, "Refuse signatures made for another method."),
    Flag("xla_cpu_compilation_enabled", "bool", False, "Compile for the CPU by XLA.", ignored=True),
    Flag("xla_gpu_compilation_enabled", "bool", False, "Compile for the GPU by XLA.", ignored=True),
    Flag("enable_profiler", "bool", True, "The profiler service; there is none here.", ignored=True),
    Flag("thread_pool_factory_config_file", "string", "", "A ThreadPoolConfig text protobuf.", ignored=True),
    Flag("mixed_precision", "string", "", "Mixed precision mode.", ignored=True),
    Flag("skip_initialize_tpu", "bool", False, "Leave the TPU alone.", ignored=True),
    Flag("enable_grpc_healthcheck_service", "bool", False, "The standard gRPC health service."),
    Flag(
        "enable_serialization_as_tensor_content",
        "bool",
        False,
        "Answer gRPC calls with tensor_content rather than typed fields.",
    ),
    # Ours alone.
    Flag("bind_address", "string", "0.0.0.0", "Not in TensorFlow Serving: the address to listen on."),
    Flag(
        "rest_api_max_body_bytes",
        "int64",
        64 * _MEBIBYTE,
        "Not in TensorFlow Serving: the largest REST body; beyond it the answer is 413.",
    ),
    Flag(
        "rest_api_max_inflated_bytes",
        "int64",
        64 * _MEBIBYTE,
        "Not in TensorFlow Serving: the largest REST body after inflating.",
    ),
    Flag("rest_api_max_json_depth", "int32", 4096, "Not in TensorFlow Serving: how deep JSON may nest."),
    Flag(
        "drain_timeout_seconds",
        "int32",
        60,
        "Not in TensorFlow Serving: how long requests in flight may take after SIGTERM.",
    ),
    Flag("access_log", "bool", False, "Not in TensorFlow Serving: one JSON line per request on standard error."),
)
_BY_NAME = {flag.name: flag for flag in FLAGS}


class UsageError(Exception):
    """A flag whose value is not of its kind."""


@dataclass
class Settings:
    """The values of the flags; `values["port"]` and so on. `unknown` holds the arguments that are no flags."""

    values: dict[str, Any]
    given: set[str]
    unknown: list[str]

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


def parse(arguments: list[str]) -> Settings:
    """Reads `--name=value` (and `--name` for a bool). Raises UsageError for a value of the wrong kind."""
    settings = Settings({flag.name: flag.default for flag in FLAGS}, set(), [])
    for argument in arguments:
        name, equals, value = argument.removeprefix("--").partition("=")
        flag = _BY_NAME.get(name) if argument.startswith("--") else None
        if flag is None or (not equals and flag.kind != "bool"):
            settings.unknown.append(argument)
            continue
        settings.values[name] = _convert(flag, value if equals else "true")
        settings.given.add(name)
    return settings


def _convert(flag: Flag, value: str) -> Any:
    try:
        if flag.kind == "bool":
            return {"true": True, "1": True, "false": False, "0": False}[value.lower()]
        if flag.kind == "float":
            return float(value)
        if flag.kind == "string":
            return value
        number = int(value)
        bits = int(flag.kind[3:]) - 1
        if not -(1 << bits) <= number < 1 << bits:
            raise ValueError
        return number
    except (KeyError, ValueError):
        raise UsageError(f"Couldn't interpret value {value} for flag {flag.name}.") from None


def usage() -> str:
    """The help text."""
    lines = ["usage: tensorflow_model_server", "Flags:"]
    for flag in FLAGS:
        default = {"bool": str(flag.default).lower(), "string": f'"{flag.default}"'}.get(flag.kind)
        if default is None:
            default = f"{flag.default:f}" if flag.kind == "float" else str(flag.default)
        assignment = f"--{flag.name}={default}"
        lines.append(f"\t{assignment:<33}\t{flag.kind}\t{flag.help}")
    return "\n".join(lines) + "\n"
