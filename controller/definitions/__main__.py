"""`python -m controller.definitions FOLDER ISTIO` writes the definitions of our kinds into one folder, those of Istio's into another."""

import sys
from pathlib import Path

from controller.definitions.custom_resources import GROUP, ISTIO
from controller.definitions.files import write

if len(sys.argv) != 3:
    sys.exit("usage: python -m controller.definitions FOLDER ISTIO")
for group, folder in ((GROUP, sys.argv[1]), (ISTIO, sys.argv[2])):
    write(Path(folder), group)
