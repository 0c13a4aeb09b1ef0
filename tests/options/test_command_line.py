"""Options: read from flags and variables, once, by their exact names."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from app.access.api_keys import ApiKey
from app.options.command_line import UsageError, environment_name, flag_name, shown
from app.options.settings import Settings

MODEL = ["--model-id", "m"]
EXAMPLES: dict[str, tuple[str, Any]] = {
    "embed_all": ("false", False),
    "dry_run": ("true", True),
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
    "cache_bytes": ("1000", 1000),
    "batch_dir": ("batches", Path("batches")),
    "batch_file_limit": ("1000", 1000),
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
    "grpc_port": ("50051", 50051),
    "payload_limit": ("100", 100),
    "api_key": ("secret", (ApiKey(None, "secret"),)),
    "api_key_file": ("keys", Path("keys")),
    "cors_allow_origin": ("https://a.example", ("https://a.example",)),
    "playground": ("false", False),
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
    ("arguments", "environment"),
    [
        (["--model-id", "a", "--model-id", "b,c"], {}),
        ([], {"MODEL_ID": "a, b,c"}),
        (["--model-id", "x"], {"MODEL_ID": "y,z"}),
    ],
)
def test_each_model_has_settings_of_its_own(
    arguments: list[str], environment: dict[str, str]
) -> None:
    """A comma is part of a flag's value, since a folder's name may have one."""
    ids = [one.model_id for one in Settings.read_each([*arguments, "--port", "1"], environment)]
    assert ids == ([*arguments[1::2]] or ["a", "b", "c"])
    names = {"SERVED_MODEL_NAME": ",".join(f"name {one}" for one in range(len(ids)))}
    each = Settings.read_each([*arguments, "--port", "1"], environment | names)
    assert [one.model_name for one in each] == names["SERVED_MODEL_NAME"].split(",")
    assert {one.port for one in each} == {1}
    assert Settings.read([*arguments, "--port", "1"], environment | names) == each[0]


def test_models_and_their_names_must_fit() -> None:
    with pytest.raises(UsageError, match=r"--served-model-name .* is given 1 times"):
        Settings.read_each([*MODEL, "--model-id", "n", "--served-model-name", "x"], {})


@pytest.mark.parametrize(
    "arguments", [["--api_key", "s3cret"], ["--api_key=s3cret"], ["s3cret"], ["-k", "s3cret"]]
)
def test_a_mistyped_secret_is_not_shown(arguments: list[str]) -> None:
    with pytest.raises(UsageError, match="unrecognized argument") as caught:
        Settings.read([*MODEL, *arguments], {})
    assert "s3cret" not in str(caught.value)


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


def test_two_dashes_are_like_no_option() -> None:
    with pytest.raises(UsageError, match=r"^unrecognized argument") as caught:
        Settings.read([*MODEL, "--", "more"], {})
    assert "did you mean" not in str(caught.value)


def test_help_names_every_flag_and_variable(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        Settings.read(["--help"], {})
    shown = capsys.readouterr().out
    assert exited.value.code == 0
    for declared in fields(Settings):
        visible = not declared.metadata.get("hidden")
        assert (flag_name(declared) in shown) == visible
        assert (environment_name(declared) in shown) == visible


def test_the_log_shows_what_was_changed_and_no_secret() -> None:
    arguments = [*MODEL, "--port", "80", "--hf-token", "s3cret", "--embed-all", "true"]
    assert shown(Settings.read(arguments, {})) == "model_id='m', hf_token=***, port=80"


def test_help_says_what_a_value_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        Settings.read(["--help"], {})
    text = capsys.readouterr().out
    for shape in ("--models-dir DIR ", "--embed-all true|false\n", "--json-output [true|false]\n"):
        assert f"  {shape}" in text
