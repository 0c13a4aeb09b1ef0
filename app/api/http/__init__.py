"""HTTP around the verbs: endpoints, transport, middleware, and what `/info` and a scrape show."""
