"""Data as people have them, on the Hub, in folders and in files: read into datasets, and written back whole.

Knows nothing of pruning.
"""
