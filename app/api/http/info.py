"""Info: the model and the service as `/info` shows them."""

from dataclasses import asdict

from app import __version__
from app.inference.kinds.served_kinds import outputs_of
from app.inference.prompts import default_prompt
from app.inference.served_model import ServedModel
from app.model.manifest import Manifest
from app.options.settings import Settings


def info(model: ServedModel) -> dict[str, object]:
    """Return TEI's keys in TEI's order, then ours."""
    settings, loaded = model.settings, model.loaded
    return {
        "model_id": settings.model_id,
        "model_sha": settings.revision,
        "model_dtype": loaded.session.compute_dtype,
        "served_model_name": settings.model_name,
        "model_type": _model_type(settings, model.manifest),
        "max_concurrent_requests": settings.max_concurrent_requests,
        "max_input_length": loaded.max_input_length,
        "max_batch_tokens": settings.max_batch_tokens,
        "max_batch_requests": settings.max_batch_requests,
        "max_client_batch_size": settings.max_client_batch_size,
        "auto_truncate": settings.auto_truncate,
        "tokenization_workers": loaded.tokenization.scheduler.threads,
        "version": __version__,
        "sha": None,
        "docker_label": None,
        "provider": loaded.session.provider,
        "provider_reason": loaded.reason,
        "graph": loaded.session.graph.file,
        "fingerprint": loaded.fingerprint,
        "proof": asdict(loaded.proof),
        "vectors": list(outputs_of(model.manifest)),
        "vectors_left_out": model.manifest.left_out,
        "activation": model.manifest.scored_by if model.manifest.labels else None,
        "default_prompt_name": _default_prompt_name(settings, model.manifest),
        "default_prompt": default_prompt(settings, model.manifest),
        "prompts": model.manifest.prompts,
        "truncation_direction": model.manifest.truncation_side,
        "pooling_source": "--pooling" if settings.pooling else model.manifest.pooling_source,
        **_routes(model.manifest),
        **_output_types(settings, model.manifest),
    }


def _default_prompt_name(settings: Settings, manifest: Manifest) -> str | None:
    """Return the name of the prompt for inputs that name none, if it has a name."""
    if settings.default_prompt is not None:
        return None
    return settings.default_prompt_name or manifest.default_prompt_name


def _routes(manifest: Manifest) -> dict[str, object]:
    """Return how queries and documents take different routes, if they do."""
    if not manifest.routes:
        return {}
    routes = {
        route.name: {"prompt_names": route.asked_as, "max_input_length": route.max_input_length}
        for route in manifest.routes
    }
    return {"routes": routes, "default_route": manifest.default_route}


def _output_types(settings: Settings, manifest: Manifest) -> dict[str, object]:
    """Return what each output type costs, if it was measured for these vectors."""
    if settings.pooling not in {None, manifest.pooling}:
        return {}
    found = {
        one.dtype: {
            "neighbour_overlap": one.neighbour_overlap,
            "rank_correlation": one.rank_correlation,
            "texts": one.texts,
        }
        for one in manifest.output_types
    }
    return {"output_types": found} if found else {}


def _model_type(settings: Settings, manifest: Manifest) -> dict[str, object]:
    """Return the kind of model in the terms of `/info`."""
    if manifest.task == "embedding":
        return {"embedding": {"pooling": settings.pooling or manifest.pooling}}
    if manifest.task == "splade":
        return {"embedding": {"pooling": "splade"}}
    if manifest.task == "multi_vector":
        return {"embedding": {"pooling": "none"}}
    names = {str(i): label for i, label in enumerate(manifest.labels)}
    places = {label: i for i, label in enumerate(manifest.labels)}
    return {manifest.task: {"id2label": names, "label2id": places}}
