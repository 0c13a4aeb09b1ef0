"""Values of options: valid and invalid texts."""

from pathlib import Path

import pytest

from app.options.command_line import UsageError
from app.options.settings import Settings
from app.options.values import contradiction

MODEL = ["--model-id", "m"]


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
def test_invalid_origins_are_refused(origin: str) -> None:
    with pytest.raises(UsageError, match=r"must be \*, or a scheme, a host and perhaps a port"):
        Settings.read([*MODEL, f"--cors-allow-origin={origin}"], {})


def test_the_invalid_one_of_several_origins_is_named() -> None:
    flags = ["--cors-allow-origin", "https://a.example", "--cors-allow-origin", "b.example"]
    with pytest.raises(UsageError, match=r"invalid value 'b\.example' for --cors-allow-origin "):
        Settings.read([*MODEL, *flags], {})


@pytest.mark.parametrize("origin", ["https://a.example:99999", "http://[:::1]"])
def test_an_origin_with_an_invalid_port_is_refused(origin: str) -> None:
    with pytest.raises(UsageError, match=r"for --cors-allow-origin \(environment: CORS_ALLOW"):
        Settings.read([*MODEL, f"--cors-allow-origin={origin}"], {})


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"default_prompt": "a", "default_prompt_name": "b"}, "--default-prompt cannot be used"),
        ({"default_prompt": "", "default_prompt_name": "b"}, "--default-prompt cannot be used"),
        ({"device_id": (0,)}, "--device-id needs --provider cuda or tensorrt, not auto"),
        ({"gpu_memory_limit": 9, "provider": "tensorrt"}, "--gpu-memory-limit needs --provider"),
        ({"grpc_port": 8000}, "--grpc-port cannot be 8000, the port of HTTP: name another"),
        ({"grpc_port": 80, "aip_http_port": 80}, "--grpc-port cannot be 80, the port of HTTP"),
        ({"hf_token": "a", "hf_api_token": "b"}, "--hf-token cannot be used"),
    ],
)
def test_the_first_pair_is_named_with_the_remedy(given: dict[str, object], wrong: str) -> None:
    found = contradiction(Settings(model_id="m", **given))  # type: ignore[arg-type]  # of several types
    assert found is not None
    assert found.startswith(wrong)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"default_prompt": "a"},
        {"device_id": (0,), "gpu_memory_limit": 9, "provider": "cuda"},
        {"device_id": (0,), "provider": "tensorrt"},
        {"hf_api_token": "b"},
        {"grpc_port": 8001},
        {"grpc_port": 0, "port": 0},
    ],
)
def test_compatible_options_are_accepted(given: dict[str, object]) -> None:
    assert contradiction(Settings(model_id="m", **given)) is None  # type: ignore[arg-type]
