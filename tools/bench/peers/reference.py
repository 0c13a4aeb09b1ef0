"""`python -m tools.bench.peers.reference FOLDER`: sentence-transformers, the reference."""

from sentence_transformers import SentenceTransformer

from tools.bench.peers.answering import answer

if __name__ == "__main__":
    answer(lambda folder: SentenceTransformer(str(folder), device="cpu"))
