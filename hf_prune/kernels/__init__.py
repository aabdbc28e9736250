"""Arrays in, arrays out, and no types of Hugging Face.

Imports errors of the ground floor and nothing else.
"""
