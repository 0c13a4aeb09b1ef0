from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from app import command_line, preflight
from app.command_line import UsageError, environment_name, flag_name
from app.settings import Settings

MODEL = ["--model-id", "m"]
SENT = "hf_abc"
EXAMPLES: dict[str, tuple[str, Any]] = {
    "model_id": ("org/name", "org/name"),
    "revision": ("main", "main"),
    "served_model_name": ("name", "name"),
    "provider": ("cpu", "cpu"),
    "pooling": ("last-token", "last_token"),
    "onnx_file": ("onnx/model_fp16.onnx", "onnx/model_fp16.onnx"),
    "threads": ("3", 3),
    "tokenization_workers": ("2", 2),
    "max_concurrent_requests": ("9", 9),
    "run_timeout_seconds": ("2.5", 2.5),
    "max_concurrent_bytes": ("1000", 1000),
    "max_connections": ("7", 7),
    "client_timeout_seconds": ("1.5", 1.5),
    "max_batch_tokens": ("1024", 1024),
    "max_batch_requests": ("4", 4),
    "max_client_batch_size": ("64", 64),
    "auto_truncate": ("false", False),
    "default_prompt_name": ("query", "query"),
    "default_prompt": ("query: ", "query: "),
    "hostname": ("127.0.0.1", "127.0.0.1"),
    "port": ("80", 80),
    "payload_limit": ("100", 100),
    "api_key": ("secret", "secret"),
    "cors_allow_origin": ("https://a.example", ("https://a.example",)),
    "json_output": ("true", True),
    "log_level": ("debug", "debug"),
    "huggingface_hub_cache": ("/data", Path("/data")),
    "cache_dir": ("/cache", Path("/cache")),
    "drain_seconds": ("2.5", 2.5),
    "shutdown_seconds": ("10", 10.0),
    "task": ("sentence-similarity", "sentence-similarity"),
    "aip_http_port": ("8080", 8080),
    "aip_predict_route": ("/p", "/p"),
    "aip_health_route": ("/h", "/h"),
    "dtype": ("float32", "float32"),
    "device_id": ("0,1", (0, 1)),
    "gpu_memory_limit": ("8000000000", 8_000_000_000),
    "dense_path": ("2_Dense", "2_Dense"),
    "disable_spans": ("true", True),
    "hf_api_token": ("token", "token"),
    "hf_token": ("token", "token"),
    "otlp_endpoint": ("http://collector:4317", "http://collector:4317"),
    "otlp_service_name": ("name", "name"),
    "prometheus_port": ("tcp://10.0.0.1:9000", "tcp://10.0.0.1:9000"),
    "uds_path": ("/run/socket", "/run/socket"),
}


@pytest.mark.parametrize("declared", fields(Settings), ids=lambda field: field.name)
def test_every_option_is_read_from_its_flag_and_from_its_variable(declared: Any) -> None:
    if declared.name == "models_dir":
        text: str = "elsewhere"
        expected: Any = declared.default.with_name("elsewhere")
    else:
        text, expected = EXAMPLES[declared.name]
    of_a_gpu = declared.name in {"device_id", "gpu_memory_limit"}
    needed = {"PROVIDER": "cuda"} if of_a_gpu else {}
    model = [] if declared.name == "model_id" else MODEL
    by_flag = Settings.read([*model, flag_name(declared), text], needed)
    variables = {"MODEL_ID": "m", **needed, environment_name(declared): text}
    by_variable = Settings.read([], variables)
    assert getattr(by_flag, declared.name) == expected
    assert getattr(by_variable, declared.name) == expected


def test_defaults_are_tei_s_but_for_the_port() -> None:
    settings = Settings.read(MODEL, {})
    assert settings.port == 8000
    assert settings.max_concurrent_requests == 512
    assert settings.max_batch_tokens == 16384
    assert settings.max_client_batch_size == 32
    assert settings.payload_limit == 2_000_000
    assert settings.auto_truncate is True
    assert settings.api_key is None


def test_a_flag_beats_the_environment() -> None:
    assert Settings.read([*MODEL, "-p", "1"], {"PORT": "2", "MODEL_ID": "x"}).port == 1


def test_bare_flags_are_true() -> None:
    settings = Settings.read([*MODEL, "--json-output", "--auto-truncate"], {})
    assert settings.json_output is settings.auto_truncate is True


def test_an_empty_variable_is_not_set() -> None:
    settings = Settings.read(MODEL, {"PORT": "", "POOLING": "", "CORS_ALLOW_ORIGIN": ""})
    assert (settings.port, settings.pooling, settings.cors_allow_origin) == (8000, None, ())


@pytest.mark.parametrize(
    "twice",
    [
        ["--port", "80", "--port", "81"],
        ["--port", "80", "-p", "80"],
        ["-p=80", "-p81"],
        ["--pooling=cls", "--pooling=cls"],
        ["--json-output", "--json-output"],
        ["--auto-truncate", "false", "--auto-truncate"],
        ["--api-key", "s3cret", "--api-key", "s3cret"],
        ["--default-prompt", "", "--default-prompt", ""],
        ["--hf-api-token", "s3cret", "--hf-api-token", "s3cret"],
    ],
)
def test_an_option_that_has_one_value_is_not_given_twice(twice: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        Settings.read([*MODEL, *twice], {})
    flag = "--port" if twice[0].startswith("-p") else twice[0].partition("=")[0]
    assert str(caught.value) == f"{flag} is given twice: leave one out"


def test_an_option_goes_before_its_variable_each_time() -> None:
    settings = Settings.read(
        [*MODEL, "--port", "80", "--json-output"], {"PORT": "81", "JSON_OUTPUT": "false"}
    )
    assert (settings.port, settings.json_output) == (80, True)


def test_origins_may_be_given_several_times() -> None:
    flags = ["--cors-allow-origin", "https://a", "--cors-allow-origin", "https://b"]
    assert Settings.read([*MODEL, *flags], {}).cors_allow_origin == ("https://a", "https://b")


@pytest.mark.parametrize(
    "arguments", [["--api_key", "s3cret"], ["--api_key=s3cret"], ["s3cret"], ["-k", "s3cret"]]
)
def test_a_mistyped_secret_is_not_shown(arguments: list[str]) -> None:
    with pytest.raises(UsageError, match="unrecognized argument") as caught:
        Settings.read([*MODEL, *arguments], {})
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("key", ["hunter2\n", " hunter2", "hunter2\t", "hunter2é", "hunter\0"])
def test_a_key_that_no_client_can_send_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(UsageError, match="is no key that a header can carry") as caught:
        Settings.read(MODEL, {"API_KEY": key})
    assert "hunter" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "environment", "fault"),
    [
        ([], {}, "--model-id is required (environment: MODEL_ID)"),
        ([*MODEL, "--port", "x"], {}, "invalid value 'x' for --port (environment: PORT): "),
        ([*MODEL, "--port", "65536"], {}, "must be at most 65535"),
        ([*MODEL, "--port", "-1"], {}, "--port"),
        ([*MODEL], {"PORT": "80 "}, "must be a whole number"),
        ([*MODEL], {"PORT": "tcp://10.0.0.1:80"}, "must be a whole number"),
        ([*MODEL], {"MAX_BATCH_TOKENS": "0"}, "must be at least 1"),
        ([*MODEL], {"JSON_OUTPUT": "1"}, "must be true or false"),
        ([*MODEL, "--auto-truncate", "no"], {}, "must be true or false"),
        ([*MODEL, "--pooling", "max"], {}, "must be one of cls, mean, last-token, splade"),
        ([*MODEL, "--provider", "tpu"], {}, "must be one of auto, cpu, openvino, cuda, tensorrt"),
        (
            [*MODEL, "--device-id", "0"],
            {},
            "--device-id needs --provider cuda or tensorrt, not auto",
        ),
        ([*MODEL, "--onnx-file", "model.bin"], {}, "must be the name of a file of the model that"),
        ([*MODEL, "--onnx-file", "../a.onnx"], {}, "must be the name of a file of the model that"),
        ([*MODEL, "--onnx-file", "onnx/model_q4f16.onnx"], {}, "must not be rounded to 4 bits"),
        ([*MODEL, "--device-id", "-1"], {"PROVIDER": "cuda"}, "must be a whole number"),
        ([*MODEL, "--device-id", "0,"], {"PROVIDER": "cuda"}, "must be a whole number"),
        ([*MODEL, "--device-id", "1,0,1"], {"PROVIDER": "cuda"}, "must name each device once"),
        ([*MODEL], {"GPU_MEMORY_LIMIT": "9"}, "--gpu-memory-limit needs --provider cuda, not auto"),
        ([*MODEL, "--drain-seconds", "-1"], {}, "--drain-seconds"),
        ([*MODEL, "--run-timeout-seconds", "0.01"], {}, "must be at least 0.5"),
        ([*MODEL, "--threads", "1025"], {}, "must be at most 1024"),
        ([*MODEL], {"TOKENIZATION_WORKERS": "100000"}, "must be at most 1024"),
        ([*MODEL, "--max-batch-tokens", "9" * 20], {}, "must be at most 9007199254740991"),
        ([*MODEL, "--aip-predict-route", "predict"], {}, "must begin with / and hold none of"),
        ([*MODEL], {"AIP_HEALTH_ROUTE": "/{x:y}"}, "must begin with / and hold none of"),
        (["--model-id="], {}, "--model-id is required (environment: MODEL_ID)"),
        ([*MODEL, "--api-key="], {}, "--api-key (environment: API_KEY) is no key"),
        ([*MODEL, "--drain-seconds", "nan"], {}, "must be between 0 and 1,000,000"),
        ([*MODEL], {"API_KEY": ""}, "API_KEY is empty: unset it, or set a key"),
        ([*MODEL, "--otlp-endpoint", "host:4317"], {}, "must be http:// or https:// with a host"),
        ([*MODEL], {"OTLP_ENDPOINT": "http://"}, "must be http:// or https:// with a host"),
        ([*MODEL, "--nope"], {}, "unrecognized argument --nope"),
        ([*MODEL, "--max-batch", "4"], {}, "unrecognized argument --max-batch"),  # no abbreviations
        (
            [*MODEL, "--default-prompt", "a"],
            {"DEFAULT_PROMPT_NAME": "b"},
            "--default-prompt cannot be used with --default-prompt-name",
        ),
        (
            [*MODEL, "--hf-token", "a"],
            {"HF_API_TOKEN": "b"},
            "--hf-token cannot be used with --hf-api-token, its old name",
        ),
    ],
)
def test_what_cannot_be_taken_is_refused_by_name(
    arguments: list[str], environment: dict[str, str], fault: str
) -> None:
    with pytest.raises(UsageError) as caught:
        Settings.read(arguments, environment)
    assert fault in str(caught.value)


def test_a_container_s_own_name_does_not_break_the_bind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "3f2a9c")
    injected = Settings.read(MODEL, {"HOSTNAME": "3f2a9c"})
    assert (injected.hostname, injected.bind_host) == ("", "0.0.0.0")  # noqa: S104  # the default
    assert Settings.read(MODEL, {"HOSTNAME": "::1"}).bind_host == "::1"
    assert Settings.read(MODEL, {"HOSTNAME": "another"}).bind_host == "another"
    asked = Settings.read([*MODEL, "--hostname", "3f2a9c"], {"HOSTNAME": "3f2a9c"})
    assert asked.bind_host == "3f2a9c"


@pytest.mark.parametrize(
    ("given", "near"),
    [
        ("--max-batch-request", ": did you mean --max-batch-requests?"),
        ("--max-batch", ": did you mean --max-batch-tokens or --max-batch-requests?"),
        ("--max_client_batch_size=64", ": did you mean --max-client-batch-size?"),
        ("--modelid", ": did you mean --model-id?"),
        ("--host", ": did you mean --hostname?"),
        ("--quantize-everything", ""),
    ],
)
def test_an_option_that_is_nearly_right_is_named(given: str, near: str) -> None:
    with pytest.raises(UsageError) as caught:
        Settings.read([*MODEL, given], {})
    assert str(caught.value) == f"unrecognized argument {given.partition('=')[0]}{near}"


@pytest.mark.parametrize("text", ["last-token", "lasttoken", "last_token", "Last-Token"])
def test_a_pooling_is_understood_however_it_is_spelt(text: str) -> None:
    assert Settings.read([*MODEL, "--pooling", text], {}).pooling == "last_token"


def test_a_folder_in_a_variable_may_begin_at_home() -> None:
    settings = Settings.read(MODEL, {"MODELS_DIR": "~/models", "CACHE_DIR": "/cache"})
    assert settings.models_dir == Path.home() / "models"
    assert settings.cache_dir == Path("/cache")


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        ("*", "*"),
        ("null", "null"),
        ("https://A.example/", "https://a.example"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("https://a.example:443", "https://a.example"),
        ("https://a.example:80", "https://a.example:80"),
        ("http://a.example:0080\n", "http://a.example"),
        ("http://[0:0::1]:8080", "http://[::1]:8080"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
    ],
)
def test_an_origin_is_what_browsers_send(given: str, origin: str) -> None:
    assert Settings.read([*MODEL, "--cors-allow-origin", given], {}).cors_allow_origin == (origin,)


@pytest.mark.parametrize(
    "origin",
    [
        "a.example",
        "https://a.example/app",
        "https://a.example?q",
        "https://a.example#part",
        "https://",
        "",
        "https://a.example,https://b.example",
        "https://*.a.example",
        "https://a b.example",
        "https://a\t.example",
        "https://a..example",
        "https://a.example:",
        "https://a.example:port",
        "https://:80",
        "https://user:word@a.example",
        "https://bücher.example",
        "http://[::1",
        "http://[zz]",
    ],
)
def test_what_no_browser_sends_as_an_origin_is_refused(origin: str) -> None:
    with pytest.raises(UsageError, match=r"must be \*, or a scheme, a host and perhaps a port"):
        Settings.read([*MODEL, f"--cors-allow-origin={origin}"], {})


def test_of_several_origins_the_one_at_fault_is_named() -> None:
    flags = ["--cors-allow-origin", "https://a.example", "--cors-allow-origin", "b.example"]
    with pytest.raises(UsageError, match=r"invalid value 'b\.example' for --cors-allow-origin "):
        Settings.read([*MODEL, *flags], {})


@pytest.mark.parametrize("origin", ["https://a.example:99999", "http://[:::1]"])
def test_an_origin_with_a_number_that_is_none_is_refused(origin: str) -> None:
    with pytest.raises(UsageError, match=r"for --cors-allow-origin \(environment: CORS_ALLOW"):
        Settings.read([*MODEL, f"--cors-allow-origin={origin}"], {})


def test_what_counts_of_two_options_is_said() -> None:
    given = {"PORT": "80", "AIP_HTTP_PORT": "8080", "MAX_CONCURRENT_BYTES": "1000"}
    assert preflight.warnings(Settings.read(MODEL, given)) == [
        "--aip-http-port 8080 goes before --port 80",
        "--max-concurrent-bytes 1000 is less than --payload-limit 2000000, which one request may "
        "have: there is room for both together",
    ]
    assert preflight.warnings(Settings.read(MODEL, {"PORT": "8080", "AIP_HTTP_PORT": "8080"})) == []


def test_the_log_line_has_every_option_and_no_secret() -> None:
    line = command_line.shown(Settings.read([*MODEL, "--api-key", "hunter2"], {}))
    assert "hunter2" not in line
    assert "api_key=***" in line
    assert all(f"{declared.name}=" in line for declared in fields(Settings))


def test_credentials_in_an_address_are_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError) as caught:
        Settings.read([*MODEL, "--otlp-endpoint", "http://me:hunter2@host:4317"], {})
    assert str(caught.value).startswith("--otlp-endpoint must hold no credentials")
    assert "hunter2" not in str(caught.value)


def test_options_of_tei_without_a_meaning_here_say_so() -> None:
    assert preflight.warnings(Settings.read(MODEL, {})) == []
    settings = Settings.read([*MODEL, "--uds-path", "/run/x"], {"PROMETHEUS_PORT": "9000"})
    assert preflight.warnings(settings) == [
        "--prometheus-port is accepted as TEI does, and not used: metrics are at /metrics",
        "--uds-path is accepted as TEI does, and not used: there is no second process",
    ]


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["--hf-token", SENT], {"HF_TOKEN": "other"}),
        ([], {"HF_TOKEN": SENT}),
        (["--hf-api-token", SENT], {}),
        ([], {"HF_API_TOKEN": SENT, "HF_TOKEN": ""}),
    ],
)
def test_the_token_of_the_hub_has_two_names(
    arguments: list[str], environment: dict[str, str]
) -> None:
    settings = Settings.read([*MODEL, *arguments], environment)
    assert settings.hub_token == SENT
    assert SENT not in command_line.shown(settings)
    old = ["--hf-api-token (HF_API_TOKEN) is deprecated: use --hf-token (HF_TOKEN)"]
    assert preflight.warnings(settings) == (old if settings.hf_api_token else [])


def test_another_precision_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'float64' for --dtype .*: must be one of auto, float32"):
        Settings.read([*MODEL, "--dtype", "float64"], {})


def test_help_names_every_flag_and_variable(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        Settings.read(["--help"], {})
    shown = capsys.readouterr().out
    assert exited.value.code == 0
    for declared in fields(Settings):
        visible = not declared.metadata.get("hidden")
        assert (flag_name(declared) in shown) == visible
        assert (environment_name(declared) in shown) == visible
