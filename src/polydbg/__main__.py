"""``python -m polydbg``."""

import sys

from polydbg.cli.main import main

sys.exit(main())
