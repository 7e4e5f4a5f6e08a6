"""The authentication log from MINTIME to MAXTIME with Cisco's own client, as its documentation says: the plain loop that
Picket is compared with. Prints what it took as JSON.

usage: duo_client_loop.py PORT CA IKEY SKEY MINTIME_MS MAXTIME_MS SPEED [FILE]

With FILE every event becomes a line of it, and a page is on the disk before the next is asked for: what a collector is for.
Without, events are only counted. SPEED is that of the simulated clock: the client's own waits after a 429 are its seconds.
"""

import json
import os
import resource
import sys
import time

import duo_client.client

PORT, CA, IKEY, SKEY, MINTIME, MAXTIME, SPEED = sys.argv[1:8]
FILE = open(sys.argv[8], "w") if len(sys.argv) > 8 else None

duo_client.client.sleep = lambda seconds: time.sleep(seconds / float(SPEED))

began = time.monotonic()
admin = duo_client.Admin(ikey=IKEY, skey=SKEY, host="localhost", port=int(PORT), ca_certs=CA)
ids, offset = set(), None
while True:
    page = admin.get_authentication_log(
        api_version=2, mintime=MINTIME, maxtime=MAXTIME, limit="1000", sort="ts:asc", next_offset=offset
    )
    for row in page["authlogs"]:
        ids.add(row["txid"])
        if FILE:
            FILE.write(json.dumps(row) + "\n")
    if FILE:
        FILE.flush()
        os.fsync(FILE.fileno())
    offset = page["metadata"].get("next_offset")
    if not page["authlogs"] or not offset:
        break

used = resource.getrusage(resource.RUSAGE_SELF)
# Not ru_maxrss: that begins with what the process held from which this one was started.
with open("/proc/self/status") as status:
    peak_kib = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(
    json.dumps(
        {
            "events": len(ids),
            "wall_s": time.monotonic() - began,
            "cpu_s": used.ru_utime + used.ru_stime,
            "peak_mb": peak_kib * 1024 / 1e6,
        }
    )
)
