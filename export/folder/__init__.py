"""Folder: what an exported folder holds, how it is proved and published."""
