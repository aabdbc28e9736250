"""What the HTTP client of huggingface_hub raises: httpx2, in earlier versions httpx, and requests before that."""

import sys

from huggingface_hub.errors import HfHubHTTPError

_client = sys.modules[HfHubHTTPError.__bases__[0].__module__.partition(".")[0]]
TransportError: type[Exception] = getattr(_client, "TransportError", None) or _client.ConnectionError
"""No answer came."""
