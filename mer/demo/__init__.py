"""A made corpus of talking faces: real mp4 files with real difficulties, drawn and spoken here, no
download.
"""

from mer.demo.config import DemoConfig
from mer.demo.corpus import generate_demo

__all__ = ["DemoConfig", "generate_demo"]
