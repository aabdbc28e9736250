"""How rows are chosen: one file a method, and modifiers that hold methods.

Imports signals, selection, dynamics, embeddings, kernels and the ground floor.
"""
