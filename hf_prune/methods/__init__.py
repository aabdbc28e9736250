"""Pruning methods: one frozen dataclass a file, named as the file is."""
