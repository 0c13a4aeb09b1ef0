"""Configuration: what the configuration files of a checkpoint say, read file by file."""
