"""Request bodies: from bytes to the fields of a shape, with TEI's messages for faults."""
