"""Access: the API keys that protect the service."""
