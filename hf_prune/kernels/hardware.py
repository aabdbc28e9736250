"""What the processor is fast at."""


def has_bfloat16_units() -> bool:
    """Whether the processor multiplies bfloat16 faster than float32."""
    import torch

    abilities = torch.cpu.get_capabilities()
    return bool(abilities.get("amx_bf16") or abilities.get("avx512_bf16"))
