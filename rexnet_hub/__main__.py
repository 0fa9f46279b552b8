"""Run the command line with python -m."""

import sys

from rexnet_hub.cli import main

sys.exit(main())
