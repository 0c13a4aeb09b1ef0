"""Settings: every option once, with its flag, environment name, default and help.

A flag beats the environment, the environment beats the default; an empty variable counts as unset,
except that an empty API key is refused. What uses an option builds its own options `of(settings)`.
Names and defaults follow TEI 1.9.3 (docs/source/en/cli_arguments.md) if TEI has the option.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Self

from app.access.api_keys import ApiKey, from_flags
from app.model.lookup import model_ids, served_names
from app.options import command_line, values
from app.options.command_line import UsageError, ignored, option, repeated
from app.options.model_options import MODELS_DIR, ModelOptions

DEFAULT_HOST = "0.0.0.0"  # noqa: S104  # a container's port is published by its operator
DEFAULT_PORT = 8000


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ModelOptions):
    """The service's options, read once at start; several models share all but id and name."""

    auto_truncate: bool = option(
        values.boolean,
        True,
        "cut inputs that are too long, unless the request says otherwise",
        bare=True,
        section="inputs",
    )
    default_prompt_name: str | None = option(
        str, None, "the name of the prompt put before every input; the model's default unless set"
    )
    default_prompt: str | None = option(
        str, None, "a text put before every input; an empty one for none"
    )
    hostname: str = option(
        values.host,
        DEFAULT_HOST,
        "the address to listen on, or a name that has one",
        variable=values.own_name,
        section="connections",
    )
    port: int = option(values.port, DEFAULT_PORT, "the port to listen on", flag="-p")
    grpc_port: int | None = option(values.port, None, "the port of TEI's gRPC API; none unless set")
    payload_limit: int = option(values.positive, 2_000_000, "bytes of a request body")
    max_concurrent_bytes: int = option(
        values.positive,
        64_000_000,
        "bytes of all request bodies and answers in progress; more are answered with 429",
    )
    cache_bytes: int = option(
        values.count,
        0,
        "bytes of vectors and scores that are kept, so as not to compute them again; 0 for none",
    )
    batch_dir: Path | None = option(
        values.folder, None, "the folder of /v1/files and /v1/batches, which are 404 without it"
    )
    batch_file_limit: int = option(values.positive, 1 << 29, "bytes of a file for /v1/batches")
    max_connections: int = option(
        values.positive,
        4096,
        "open connections; if all are busy, another one is answered with 429",
    )
    client_timeout_seconds: float = option(
        values.limit_seconds,
        30.0,
        "how long a client may take to send a request, or to go on reading an answer",
    )
    api_key: tuple[ApiKey, ...] = repeated(
        values.key,
        "the key that clients send as `Authorization: Bearer <key>`; repeated, each is NAME=KEY",
        together=from_flags,
        secret=True,
        empty="unset it, or set a key",
    )
    api_key_file: Path | None = option(
        values.folder, None, "a file of named keys, one NAME=KEY a line"
    )
    cors_allow_origin: tuple[str, ...] = repeated(
        values.origin,
        "an origin that browsers may call from, repeated for several; every one unless set",
    )
    playground: bool = option(values.boolean, True, "serve /playground/, a page to try texts on")
    json_output: bool = option(
        values.boolean, False, "log one JSON object a line", bare=True, section="logs and traces"
    )
    log_level: str = option(
        str, "info", "off, error, warn, info, debug or trace; also as in info,app.inference=debug"
    )
    otlp_endpoint: str | None = option(
        values.collector, None, "the collector of traces, by OTLP over gRPC: http://HOST:4317"
    )
    otlp_service_name: str = option(
        str, "text-embeddings-inference.server", "the name of the service in traces"
    )
    drain_seconds: float = option(
        values.seconds,
        0.0,
        "after SIGTERM, how long to go on accepting before the port closes",
        section="shutdown",
    )
    shutdown_seconds: float = option(
        values.seconds,
        25.0,
        "after the port has closed, how long accepted requests may take to finish",
    )

    task: str | None = option(
        str,
        None,
        "sentence-similarity makes POST / answer as /similarity does",
        section="platforms and TEI's other options",
    )
    aip_http_port: int | None = option(
        values.port, None, "Vertex AI's name for the port, which overrides --port"
    )
    aip_predict_route: str | None = option(
        values.path, None, "one more path that answers as /vertex does"
    )
    aip_health_route: str | None = option(
        values.path, None, "one more path that answers as /health does"
    )

    dense_path: str | None = ignored("a Dense layer is part of an export")
    disable_spans: bool = option(
        values.boolean, False, "leave the span with a request's timings out of JSON logs", bare=True
    )
    prometheus_port: str | None = ignored("metrics are at /metrics")
    uds_path: str | None = ignored("there is no second process")

    @classmethod
    def read(cls, arguments: Sequence[str], environment: Mapping[str, str]) -> Self:
        """Read the settings of the first model as `read_each` does."""
        return cls.read_each(arguments, environment)[0]

    @classmethod
    def read_each(cls, arguments: Sequence[str], environment: Mapping[str, str]) -> list[Self]:
        """Read the settings of each model from the command line and the environment.

        Raises: UsageError naming the option and the value; SystemExit for --help and --version.
        """
        given = command_line.read(fields(cls), arguments, environment)
        ids, names = given.pop("model_id", ()), given.pop("served_model_name", ())
        if not any(ids):
            known = model_ids.suggestions(given.get("models_dir", MODELS_DIR))
            raise UsageError(f"--model-id is required (environment: MODEL_ID): give {known}")
        try:
            models = served_names.paired(ids, names)
        except ValueError as error:
            raise UsageError(str(error)) from None
        settings = cls(model_id=ids[0], **given)
        if (wrong := values.contradiction(settings)) is not None:
            raise UsageError(wrong)
        return [replace(settings, model_id=one, served_model_name=name) for one, name in models]

    @property
    def bind_host(self) -> str:
        """The address or name to listen on; a container runtime's HOSTNAME is ignored."""
        return self.hostname or DEFAULT_HOST

    @property
    def listen_port(self) -> int:
        """The port to listen on."""
        return self.port if self.aip_http_port is None else self.aip_http_port

    @property
    def model_name(self) -> str:
        """The name of the model in responses."""
        return self.served_model_name or self.model_id

    @property
    def hub_token(self) -> str | None:
        """The token for the Hub, by either of its names."""
        return self.hf_token or self.hf_api_token
