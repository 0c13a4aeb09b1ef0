"""TEI's documented command lines: each is valid here.

They are from its README and docs/source/en (1.9.3 and before: cli_arguments, quick_tour, intel and
NVIDIA containers, Cloud Run, private models), without what belongs to Docker.
"""

import shlex

import pytest

from app.options.settings import Settings

COMMAND_LINES = [
    "--model-id Qwen/Qwen3-Embedding-0.6B",
    "--model-id Qwen/Qwen3-Embedding-0.6B --port 8080",
    "--model-id BAAI/bge-large-en-v1.5 --revision refs/pr/5",
    "--model-id BAAI/bge-large-en-v1.5 --revision refs/pr/5 --port 8080",
    "--model-id BAAI/bge-reranker-large --revision refs/pr/4",
    "--model-id SamLowe/roberta-base-go_emotions",
    "--model-id naver/efficient-splade-VI-BT-large-query --pooling splade",
    "--model-id BAAI/bge-large-en-v1.5 --dtype float16",
    "--model-id BAAI/bge-large-en-v1.5 --dtype bfloat16",
    "--model-id=ibm-granite/granite-embedding-278m-multilingual --max-concurrent-requests=64",
    "--model-id sentence-transformers/all-MiniLM-L6-v2",
    "--model-id /data/gte-base-en-v1.5",
    "--json-output --model-id nomic-ai/nomic-embed-text-v1.5",  # as in the images
]

ARGUMENTS: dict[str, list[str | None]] = {
    "--model-id": ["thenlper/gte-base", "/data/model"],
    "--revision": ["refs/pr/2", "main", "d4aa6901d3a41ba39fb536a557fa166f842b0e09"],
    "--tokenization-workers": ["4"],
    "--dtype": ["float16", "float32", "bfloat16"],
    "--served-model-name": ["name"],
    "--pooling": ["cls", "mean", "splade", "last-token"],
    "--max-concurrent-requests": ["512"],
    "--max-batch-tokens": ["16384"],
    "--max-batch-requests": ["8"],
    "--max-client-batch-size": ["32"],
    "--auto-truncate": [None, "true", "false"],
    "--default-prompt-name": ["query"],
    "--default-prompt": ["query: "],
    "--dense-path": ["2_Dense"],
    "--hf-token": ["hf_token"],
    "--hf-api-token": ["hf_token"],
    "--hostname": ["0.0.0.0", "127.0.0.1", "::"],  # noqa: S104  # only read
    "--port": ["3000"],
    "-p": ["3000"],
    "--uds-path": ["/tmp/text-embeddings-inference-server"],  # noqa: S108
    "--huggingface-hub-cache": ["/data"],
    "--payload-limit": ["2000000"],
    "--api-key": ["key"],
    "--json-output": [None],
    "--disable-spans": [None],
    "--otlp-endpoint": ["http://localhost:4317"],
    "--otlp-service-name": ["text-embeddings-inference.server"],
    "--prometheus-port": ["9000"],
    "--cors-allow-origin": ["https://example.org", "*"],
}

ENVIRONMENTS = [
    {
        "HOSTNAME": "0.0.0.0",  # noqa: S104  # only read
        "PORT": "8080",
        "DTYPE": "float16",
        "AUTO_TRUNCATE": "false",
        "MAX_BATCH_TOKENS": "4096",
        "MAX_CLIENT_BATCH_SIZE": "16",
        "MAX_CONCURRENT_REQUESTS": "32",
        "TOKENIZATION_WORKERS": "4",
    },
    {"HUGGINGFACE_HUB_CACHE": "/data", "PORT": "80"},  # set by the images
    {"HUGGING_FACE_HUB_TOKEN": "hf_token", "HF_HUB_ENABLE_HF_TRANSFER": "1"},
    {"USE_FLASH_ATTENTION": "True", "MAX_WARMUP_SEQUENCE_LENGTH": "512"},
    {"HABANA_VISIBLE_DEVICES": "all", "HF_HOME": "/data", "HF_ENDPOINT": "https://mirror.example"},
    {"PROMETHEUS_PORT": "tcp://10.0.0.1:9000", "TASK": "sentence-similarity"},
]


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_a_command_line_is_read(line: str) -> None:
    words = shlex.split(line)
    assert Settings.read(words, {}).model_id in line


@pytest.mark.parametrize(
    ("flag", "value"), [(flag, value) for flag, values in ARGUMENTS.items() for value in values]
)
def test_an_argument_is_read_in_each_spelling_and_as_a_variable(
    flag: str, value: str | None
) -> None:
    given = [flag] if value is None else [flag, value]
    model = [] if flag == "--model-id" else ["--model-id", "thenlper/gte-base"]
    last = [] if flag == "--json-output" else ["--json-output"]
    apart = Settings.read([*model, *given, *last], {})
    joined = [flag] if value is None else [f"{flag}={value}"]
    if flag != "-p":
        assert apart == Settings.read([*model, *joined, *last], {})
        name = flag.removeprefix("--").replace("-", "_").upper()
        assert apart == Settings.read([*model, *last], {name: value or "true"})


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_is_read(environment: dict[str, str]) -> None:
    assert Settings.read(["--model-id", "m"], environment).model_id == "m"
