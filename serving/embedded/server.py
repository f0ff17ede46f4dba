"""One process: the manager, the two front ends over it, and an orderly start and end."""

import asyncio
import logging
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path

from . import configs
from .access import AccessLog
from .batching import Batcher, Parameters
from .errors import UNIMPLEMENTED, StatusError, invalid
from .execution import Call, Executor
from .flags import Settings, cpu_count
from .grpc_api import Health, Service
from .http import http1, http2
from .inference import Methods
from .manager import Manager
from .manager import Options as ManagerOptions
from .metrics import Metrics
from .protos import config_pb2
from .rest import Options as RestOptions
from .rest import Rest
from .servable import Servable, warmup_records

log = logging.getLogger("server")


_BACKLOG = 4096  # a burst of connections is no reason to refuse one
_BATCHING = "batching_params.pbtxt"
_WARMUP = {
    "predict_log": "predict",
    "classify_log": "classify",
    "regress_log": "regress",
    "multi_inference_log": "multi_inference",
}


class PortTaken(Exception):
    """A port that another process holds."""


class Server:
    """The embedded server for these settings. `run()` returns after SIGTERM or SIGINT, when all is finished."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._check()
        self._config = self._session_config()
        self._manager = Manager(
            ManagerOptions(
                load=self._load,
                poll_seconds=settings["file_system_poll_wait_seconds"],
                max_load_retries=settings["max_num_load_retries"],
                retry_seconds=settings["load_retry_interval_micros"] / 1e6,
                load_threads=settings["num_load_threads"],
                allow_labels_for_unavailable=settings["allow_version_labels_for_unavailable_models"],
            )
        )
        self._metrics = Metrics()
        self._methods = Methods(
            settings["enable_serialization_as_tensor_content"], settings["enable_signature_method_name_check"]
        )
        self._executor: Executor = Executor(
            max(settings["rest_api_num_threads"], settings["grpc_max_threads"]),
            max(1, round(cpu_count())),
            self._batcher(),
            self._ran,
        )
        self._metrics_path = self._read("monitoring_config_file", configs.metrics_path) or ""
        self._credentials = self._read("ssl_config_file", configs.credentials)
        self._channel = configs.channel(settings["grpc_channel_arguments"])
        self._access = AccessLog() if settings["access_log"] else None
        self._signals = 0

    def _read(self, flag: str, reader):
        """What the file given by `flag` says; None without one. A wrong file ends the start, before any loading."""
        return reader(self._settings[flag]) if self._settings[flag] else None

    def _ran(self, call: Call, seconds: float) -> None:
        self._metrics.run(call.servable.name, call.api, seconds)
        if call.api != "Predict":  # the others take a list of tf.Example
            self._metrics.examples(call.servable.name, call.feeds[0].shape[0])

    def _batcher(self) -> Batcher | None:
        settings = self._settings
        if not settings["enable_batching"]:
            return None
        general = Parameters(threads=max(1, round(cpu_count())))
        if settings["batching_parameters_file"]:
            general = configs.batching(settings["batching_parameters_file"], general)

        def of(call: Call) -> Parameters | None:
            return call.servable.batching if settings["enable_per_model_batching_parameters"] else general

        return Batcher(general.threads, of, self._metrics.batch, self._ran)

    def _check(self) -> None:
        settings = self._settings
        if not settings["model_base_path"] and not settings["model_config_file"]:
            raise invalid("Both server_options.model_base_path and server_options.model_config_file are empty!")
        if not settings["port"] and not settings["grpc_socket_path"]:
            raise invalid("At least one of server_options.grpc_port or server_options.grpc_socket_path must be set.")
        if settings["port"] and settings["port"] == settings["rest_api_port"]:
            raise invalid(f"--port and --rest_api_port are both {settings['port']}: give REST another port")
        if settings["batching_parameters_file"] and not settings["enable_batching"]:
            raise invalid(
                "server_options.batching_parameters_file is set without setting server_options.enable_batching to true."
            )

    def _session_config(self) -> bytes:
        settings, config = self._settings, config_pb2.ConfigProto()
        if settings["tensorflow_session_config_file"]:
            configs.read(settings["tensorflow_session_config_file"], config)
        both, cpus = settings["tensorflow_session_parallelism"], max(1, round(cpu_count()))
        for name in ("intra_op_parallelism", "inter_op_parallelism"):
            threads = settings[f"tensorflow_{name}"] or both or getattr(config, f"{name}_threads") or cpus
            setattr(config, f"{name}_threads", threads)
        fraction = settings["per_process_gpu_memory_fraction"]
        if fraction:
            config.gpu_options.per_process_gpu_memory_fraction = fraction
        config.allow_soft_placement = True
        return config.SerializeToString()

    # --- models ---

    def _load(self, name: str, version: int, path: Path) -> Servable:
        """A servable that is ready to answer: loaded and warmed up."""
        own = None
        if self._settings["enable_per_model_batching_parameters"] and (path / _BATCHING).exists():
            own = configs.batching(str(path / _BATCHING), Parameters())
        servable = Servable(name, version, path, self._settings["saved_model_tags"].split(","), self._config)
        servable.batching = own
        if self._settings["enable_model_warmup"]:
            try:
                self._warm_up(servable)
            except BaseException:
                servable.retire()
                raise
        return servable

    def _warm_up(self, servable: Servable) -> None:
        repeats = max(1, self._settings["num_request_iterations_for_warmup"])
        count, started = 0, time.perf_counter()
        for record in warmup_records(servable.path):
            for _ in range(repeats):
                self._replay(servable, record)
            count += 1
        if count:
            self._metrics.warmup(str(servable.path), "OK", time.perf_counter() - started)
            log.info("Warmed up %s version %d with %d requests", servable.name, servable.version, count)

    def _replay(self, servable: Servable, record) -> None:
        kind = record.WhichOneof("log_type")
        if kind == "session_run_log":
            return
        method = _WARMUP.get(kind)
        if method is None:
            raise StatusError(UNIMPLEMENTED, f"Unsupported log_type for warmup: {kind}")
        request = getattr(record, kind).request
        prepared = getattr(self._methods, method)
        call = prepared.prepare(servable, request)
        prepared.respond(call, request, call.plan.program(call.feeds))

    def _configuration(self):
        settings = self._settings
        if settings["model_config_file"]:
            return configs.models(settings["model_config_file"])
        return configs.single_model(settings["model_name"], settings["model_base_path"])

    def _poll_configuration(self) -> None:
        """Applies the configuration file again each period; one that is wrong is logged, and the last one stays."""
        seconds = self._settings["model_config_file_poll_wait_seconds"]
        while seconds > 0 and not self._ending.wait(seconds):
            try:
                self._manager.apply(self._configuration())
            except StatusError as error:
                log.error("Reading %s: %s", self._settings["model_config_file"], " ".join(str(error).split()))

    # --- life ---

    def run(self) -> None:
        """Loads, serves, drains. Raises StatusError if a model cannot be loaded, PortTaken if a port is not free."""
        self._ending = threading.Event()
        sockets = self._claim_ports()
        self._manager.start()
        try:
            _run_loop(self._main(sockets))
        finally:
            self._ending.set()
            self._manager.stop()
            self._executor.close()

    def _claim_ports(self) -> dict[str, socket.socket]:
        """Finds a taken port before minutes of loading. The sockets do not listen yet: nobody can connect."""
        sockets = {}
        for name in ("rest_api_port", "port"):
            port = self._settings[name]
            if port:
                sockets[name] = _bind(self._settings["bind_address"], port, name)
        return sockets

    async def _main(self, sockets: dict[str, socket.socket]) -> None:
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number, ended)
        loading = loop.run_in_executor(None, lambda: self._manager.apply(self._configuration()))
        waiting = asyncio.ensure_future(ended.wait())
        await asyncio.wait((loading, waiting), return_when=asyncio.FIRST_COMPLETED)
        if ended.is_set():
            self._manager.stop()
            return
        waiting.cancel()
        await loading
        await self._serve(sockets, ended)

    def _on_signal(self, number: int, ended: asyncio.Event) -> None:
        log.info("%s: no new requests; finishing those in flight", signal.Signals(number).name)
        self._signals += 1
        if self._signals > 1:
            os._exit(128 + number)
        ended.set()

    async def _serve(self, sockets: dict[str, socket.socket], ended: asyncio.Event) -> None:
        health, grpc_server = self._grpc()
        rest_server = self._rest()
        address = self._settings["bind_address"]
        listeners = [
            *await self._listen(grpc_server.connection, sockets, "port", self._credentials),
            *await self._listen_locally(grpc_server.connection),
            *await self._listen(rest_server.connection, sockets, "rest_api_port"),
        ]
        for flag, api in (("port", "gRPC"), ("rest_api_port", "REST")):
            if flag in sockets:
                log.info("Serving %s at %s:%d", api, address, self._settings[flag])
        threading.Thread(target=self._poll_configuration, name="config", daemon=True).start()
        await ended.wait()
        health.shut_down()
        for listener in listeners:
            listener.close()
        seconds = self._settings["drain_timeout_seconds"]
        await asyncio.gather(rest_server.drain(seconds), grpc_server.drain(seconds))
        log.info("All requests finished; ending")

    def _grpc(self) -> tuple[Health, http2.Server]:
        service = Service(self._manager, self._executor, self._methods, self._metrics, self._access)
        health, unary, streaming = Health(self._manager), service.methods(), {}
        if self._settings["enable_grpc_healthcheck_service"]:
            unary["/grpc.health.v1.Health/Check"] = health.check
            streaming["/grpc.health.v1.Health/Watch"] = health.watch
        return health, http2.Server(unary, streaming, self._channel)

    def _rest(self) -> http1.Server:
        settings = self._settings
        limits = http1.Limits(settings["rest_api_max_body_bytes"], settings["rest_api_max_inflated_bytes"])
        options = RestOptions(
            limits,
            settings["rest_api_timeout_in_ms"] / 1000,
            settings["rest_api_max_json_depth"],
            settings["rest_api_enable_cors_support"],
            self._metrics_path,
        )
        rest = Rest(self._manager, self._executor, self._methods, self._metrics, options)
        return http1.Server(rest, limits, self._access)

    async def _listen(
        self, connection: Callable, sockets: dict[str, socket.socket], flag: str, tls: ssl.SSLContext | None = None
    ) -> list[asyncio.AbstractServer]:
        """Opens the port that `flag` names, if it is to be opened."""
        if flag not in sockets:
            return []
        try:
            sockets[flag].listen(_BACKLOG)  # uvloop would listen too, but not say that it could not
        except OSError:
            # While the model was loading, another process bound the port as well, and listened first.
            raise PortTaken(_taken(self._settings["bind_address"], self._settings[flag], flag)) from None
        loop = asyncio.get_running_loop()
        return [await loop.create_server(connection, sock=sockets[flag], backlog=_BACKLOG, ssl=tls)]

    async def _listen_locally(self, connection: Callable) -> list[asyncio.AbstractServer]:
        path = self._settings["grpc_socket_path"]
        return [await asyncio.get_running_loop().create_unix_server(connection, path)] if path else []


def _run_loop(main) -> None:
    try:
        import uvloop
    except ImportError:  # no wheel for this platform
        asyncio.run(main)
    else:
        uvloop.run(main)


def _taken(address: str, port: int, flag: str) -> str:
    return f"{address}:{port} is in use by another process: stop it, or give another port by --{flag}"


def _bind(address: str, port: int, flag: str) -> socket.socket:
    claimed = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    claimed.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        claimed.bind((address, port))
        return claimed
    except OSError as error:
        claimed.close()
        if error.errno == 98 or error.errno == 48:  # EADDRINUSE, on Linux and macOS
            raise PortTaken(_taken(address, port, flag)) from None
        raise PortTaken(f"cannot listen on {address}:{port}: {error.strerror}") from None
