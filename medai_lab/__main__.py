"""The entrypoint: `python -m medai_lab`, or `medai-lab` once it is installed."""

import sys

from medai_lab.app import main

if __name__ == "__main__":
    sys.exit(main())
