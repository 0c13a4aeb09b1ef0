from pathlib import Path

import pytest

from app import preflight
from app.options import command_line
from app.options.command_line import UsageError
from app.options.settings import Settings
from tools import tiny

MODEL = ["--model-id", "m"]
SENT = "hf_abc"


def test_defaults_are_tei_s_but_for_the_port() -> None:
    settings = Settings.read(MODEL, {})
    assert settings.port == 8000
    assert settings.max_concurrent_requests == 512
    assert settings.max_batch_tokens == 16384
    assert settings.max_client_batch_size == 32
    assert settings.payload_limit == 2_000_000
    assert settings.auto_truncate is True
    assert settings.api_key == ()
    assert settings.api_key_file is None


def test_without_a_model_the_local_ones_are_listed(tmp_path: Path) -> None:
    for name in ("b--two", "a--one"):
        tiny.build(tmp_path / name)
    with pytest.raises(UsageError, match=r"MODEL_ID\): give a/one or b/two$"):
        Settings.read([], {"MODELS_DIR": str(tmp_path)})
    with pytest.raises(UsageError, match=r": give the folder of a model, or its id on the Hub, "):
        Settings.read([], {"MODELS_DIR": str(tmp_path / "none")})


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
        (
            [*MODEL, "--max-batch", "4"],
            {},
            "unrecognized argument --max-batch",
        ),  # no abbreviations
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
def test_invalid_values_are_refused_by_name(
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


def test_the_effect_of_conflicting_options_is_reported() -> None:
    given = {"PORT": "80", "AIP_HTTP_PORT": "8080", "MAX_CONCURRENT_BYTES": "1000"}
    assert preflight.warnings(Settings.read(MODEL, given)) == [
        "--aip-http-port 8080 goes before --port 80",
        "--max-concurrent-bytes 1000 is less than --payload-limit 2000000, which one request may "
        "have: there is room for both together",
    ]
    assert preflight.warnings(Settings.read(MODEL, {"PORT": "8080", "AIP_HTTP_PORT": "8080"})) == []


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
    assert SENT in (settings.hf_token, settings.hf_api_token)
    assert SENT not in command_line.shown(settings)
    old = ["--hf-api-token (HF_API_TOKEN) is deprecated: use --hf-token (HF_TOKEN)"]
    assert preflight.warnings(settings) == (old if settings.hf_api_token else [])


def test_another_precision_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'float64' for --dtype .*: must be one of auto, float32"):
        Settings.read([*MODEL, "--dtype", "float64"], {})
