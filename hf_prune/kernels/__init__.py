"""Array kernels: numpy arrays in, numpy arrays out, no Hugging Face types."""
