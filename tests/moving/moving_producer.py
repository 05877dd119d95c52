"""A producer that knows only the old store: calls until it is asked to stop, and then waits for every result.

Prints how many calls it made and how many results were right.
"""

import signal
import sys
import threading

from moving_app import note

asked = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: asked.set())
print("ready", flush=True)

results = []
while not asked.is_set():
    ahead = len(results) % 3  # seconds
    results.append(note.apply_async((len(results),), countdown=ahead) if ahead else note.delay(len(results)))
    asked.wait(0.002)  # so that the others on this machine come to their turn

right = sum(result.get(timeout=60) == i * i for i, result in enumerate(results))
print(len(results), right)
sys.exit(right != len(results))
