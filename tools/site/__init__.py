"""The site of the documentation: its pages, laid out as in the repository, and their links checked."""
