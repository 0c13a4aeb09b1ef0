"""Access: who may use the service."""
