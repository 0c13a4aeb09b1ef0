"""The pages of `docs/` that are made of code: settings, routes, and the index of decisions."""
