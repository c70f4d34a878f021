import os
import sys

from vaebench.cli import main

exit_code = main()
# A step's files are closed and on disk; to take torch apart object by object takes half a second more.
sys.stdout.flush()
sys.stderr.flush()
os._exit(exit_code)
