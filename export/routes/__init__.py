"""Routes: models with several ways through them, and static ones."""
