"""What a method may read of a dataset: from what users pass to checked arrays, one entry a row.

Imports embeddings, dynamics, selection and the ground floor.
"""
