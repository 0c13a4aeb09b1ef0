"""Export: a Hugging Face checkpoint to a proved folder that the server opens. Build time only."""
