"""The inner loops of the kernels, compiled by numba (`pip install "hf_prune[fast]"`); imported only where it is there.

Each loop has a plain twin in numpy that gives the same result to the last bit; `measure`, `graph` and `greedy` choose.
"""

from hf_prune.kernels.compiled.graph import gather_messages as gather_messages
from hf_prune.kernels.compiled.graph import join as join
from hf_prune.kernels.compiled.graph import pick as pick
from hf_prune.kernels.compiled.neighbors import BLOCK as BLOCK
from hf_prune.kernels.compiled.neighbors import closest as closest
from hf_prune.kernels.compiled.neighbors import round_to_bfloat16 as round_to_bfloat16
from hf_prune.kernels.compiled.neighbors import scan as scan
from hf_prune.kernels.compiled.neighbors import settle as settle
