"""Model options: which models are served, and how they are computed."""

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from app.model.lookup import spellings
from app.model.names import DtypeChoice, PoolingChoice, ProviderChoice
from app.options import values
from app.options.command_line import option, required

MODELS_DIR = Path("models")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """The first two sections of the settings."""

    model_id: str = required(
        str,
        "the folder of a model, or its id in the models folder, a Hub cache or the Hub; repeated "
        "(MODEL_ID: with commas) for several",
        each=True,
    )
    revision: str | None = option(str, None, "the branch, tag or commit of the model")
    models_dir: Path = option(values.folder, MODELS_DIR, "the folder of exported models")
    huggingface_hub_cache: Path | None = option(
        values.folder, None, "the Hub cache to search and to download to; $HF_HOME/hub unless set"
    )
    cache_dir: Path | None = option(
        values.folder, None, "a folder that keeps prepared models and TensorRT engines"
    )
    hf_token: str | None = option(
        str, None, "the token for the Hub; what $HF_HOME/token holds unless set", secret=True
    )
    hf_api_token: str | None = option(str, None, "--hf-token's old name", secret=True, hidden=True)
    served_model_name: str | None = option(
        str,
        None,
        "the name in OpenAI answers and /info; the model id unless set; one for each model",
        each=True,
    )
    dry_run: bool = option(
        values.boolean,
        False,
        "say what would be served, from where, in which precision and memory, and exit",
        bare=True,
    )
    provider: ProviderChoice = option(
        values.one_of(*get_args(ProviderChoice)),
        "auto",
        "what runs the model: auto, cpu, openvino, cuda or tensorrt",
        section="computation",
    )
    dtype: DtypeChoice = option(
        values.one_of(*get_args(DtypeChoice)),
        "auto",
        "float32, float16, bfloat16, int16, int8; auto lowers the precision if the proof allows",
    )
    device_id: tuple[int, ...] | None = option(
        values.devices, None, "the number of the GPU, or of several as in 0,1"
    )
    gpu_memory_limit: int | None = option(
        values.positive, None, "bytes of each GPU for weights and batches, with --provider cuda"
    )
    pooling: PoolingChoice | None = option(
        spellings.pooling,
        None,
        "cls, mean or last-token instead of the model's own, unproved; splade for SPLADE alone",
    )
    onnx_file: str | None = option(
        values.onnx_file,
        None,
        "the ONNX graph to serve instead of the float32 one, such as model_quantized.onnx",
    )
    embed_all: bool = option(values.boolean, True, "answer /embed_all; false saves OpenVINO memory")
    threads: int = option(
        values.threads, 0, "threads that compute; 0 means every core of the container"
    )
    tokenization_workers: int = option(
        values.threads,
        0,
        "threads that tokenize; 0 means one less than the cores, at least 1, at most 64",
    )
    max_concurrent_requests: int = option(
        values.positive, 512, "inputs in progress over all requests; more are answered with 429"
    )
    run_timeout_seconds: float = option(
        values.run_seconds,
        120.0,
        "the timeout of one run of the model, and of tokenizing a request",
    )
    max_batch_tokens: int = option(values.positive, 16384, "tokens of one batch, padding included")
    max_batch_requests: int | None = option(values.positive, None, "inputs of one batch")
    max_client_batch_size: int = option(
        values.positive, 32, "inputs of one request; OpenAI's routes take at least 2,048"
    )
