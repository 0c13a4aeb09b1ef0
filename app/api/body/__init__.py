"""Request bodies: from bytes to the fields of a shape, with TEI's words for what is wrong."""
