"""A host whose wall clock is ``SKEW`` seconds off, for every Python process that finds this file on its path."""

import os
import time

_off = int(float(os.environ["SKEW"]) * 1e9)
_time_ns = time.time_ns
time.time_ns = lambda: _time_ns() + _off
time.time = lambda: time.time_ns() / 1e9
