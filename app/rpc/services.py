"""Services: every call of `tei.proto`, and its handler."""

from collections.abc import Mapping

from app.rpc.calls.about import about
from app.rpc.calls.call import Call
from app.rpc.calls.embed import EMBED, EMBED_ALL, EMBED_SPARSE
from app.rpc.calls.predict import PREDICT, PREDICT_PAIR
from app.rpc.calls.rerank import RERANK
from app.rpc.calls.tokenize import decode, tokenize

# By the name of the call for one message; that for a stream of them has `Stream` behind it.
CALLS: Mapping[str, Call] = {
    "Info": about,
    "Embed": EMBED,
    "EmbedSparse": EMBED_SPARSE,
    "EmbedAll": EMBED_ALL,
    "Predict": PREDICT,
    "PredictPair": PREDICT_PAIR,
    "Rerank": RERANK,
    "Tokenize": tokenize,
    "Decode": decode,
}
