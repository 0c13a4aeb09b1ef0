"""Predict: the calls for the scores of a text's labels."""

from typing import Any

from app.api.verbs.tei_score import Predict, labelled
from app.api.verbs.verb import Request, Verb
from app.errors import InvalidInput
from app.inference.engine import Predictions
from app.inference.served_model import ServedModel
from app.rpc.calls.call import Computation, defaults, fields
from app.rpc.messages import named

_RESPONSE, _PREDICTION = named("PredictResponse"), named("Prediction")


def _pair(verb: Verb, message: Any) -> Request[Any]:
    """Return the request of a text or a pair.

    Raises: InvalidInput for any other number of texts.
    """
    given = len(message.inputs)
    if given not in {1, 2}:
        raise InvalidInput(f"`inputs` must have a single or two elements. Given: {given}")
    texts = tuple(message.inputs)
    one = texts if given == 2 else texts[0]
    return verb.build(defaults(verb) | fields(message) | {"inputs": ([one], False)})


def _scored(model: ServedModel, _: Request[Any], computed: Predictions) -> bytes:
    found = labelled(model.manifest.labels, computed.value, 0)
    predictions = [_PREDICTION(**one) for one in found]
    content: bytes = _RESPONSE(predictions=predictions).SerializeToString()
    return content


PREDICT = Computation(Predict(), named("PredictRequest"), _RESPONSE, _scored)
PREDICT_PAIR = Computation(Predict(), named("PredictPairRequest"), _RESPONSE, _scored, _pair)
