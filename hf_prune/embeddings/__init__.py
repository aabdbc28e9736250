"""One vector a row, computed once and kept in a cache.

Imports kernels, models and the ground floor.
"""
