"""The documentation's site: its pages, laid out as in the repository, with checked links."""
