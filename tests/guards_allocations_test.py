#!/usr/bin/env python3
"""A request that is logged, or that belongs to a trace which is not recorded, takes no memory and no system call more.

What is done once in a while, such as growing a buffer, does not count.
"""

import json
import os
import subprocess
import sys

SANITIZED = bool(os.environ.get("HEADGATE_SANITIZE"))  # then no frame is used again

wrong = []
costs = {}
for path in ("request", "logged", "traced"):
    done = subprocess.run([sys.argv[1], path, "20000"], capture_output=True, text=True, check=True, timeout=100)
    costs[path] = json.loads(done.stdout)
    for what in ("allocations", "reads", "writes", "other_calls"):
        if abs(costs[path][what] - (0 if what == "allocations" and not SANITIZED else costs["request"][what])) > 0.01:
            wrong.append(f"{path}: {costs[path][what]} {what} of each")
print(json.dumps(costs))
sys.exit("\n".join(wrong) or 0)
