"""The description on the package's page: README.md without its links into the repository, which lead nowhere there.

Once the repository has a public address they can lead to it. All else that describes the package is in pyproject.toml.
"""

import re
from pathlib import Path

from setuptools import setup

INSIDE = r"\[([^\]]*)\]\((?!https?://)[^)]*\)"

page = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
without_pictures = re.sub(rf"!{INSIDE}\n*", "", page)
setup(
    long_description=re.sub(INSIDE, r"\1", without_pictures),
    long_description_content_type="text/markdown",
)
