"""Long texts: what requests may ask of them, and what answers say of those that were cut."""
