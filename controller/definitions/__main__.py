"""`python -m controller.definitions FOLDER` writes the definitions of our kinds into the folder."""

import sys
from pathlib import Path

from controller.definitions.files import write

if len(sys.argv) != 2:
    sys.exit("usage: python -m controller.definitions FOLDER")
write(Path(sys.argv[1]))
