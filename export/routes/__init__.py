"""Routes: models with several routes, and static ones."""
