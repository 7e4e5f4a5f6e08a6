"""Reads a simulator with Cisco's own client, as the vendors' guides do, and prints what it got as JSON.

usage: duo_client_reads.py PORT CA IKEY SKEY MINTIME_MS MAXTIME_MS
"""

import json
import sys
import warnings

import duo_client

PORT, CA, IKEY, SKEY, MINTIME, MAXTIME = sys.argv[1:]

warnings.simplefilter("ignore", DeprecationWarning)


def client(**options):
    # duo_client pins its own CA bundle unless it is given another.
    return duo_client.Admin(ikey=IKEY, skey=SKEY, host="localhost", port=int(PORT), ca_certs=CA, **options)


def authentication_v2(admin, joined):
    """Walks the log; next_offset goes back as the list it came as, or joined by a comma."""
    txids, pages, offset = [], 0, None
    while True:
        page = admin.get_authentication_log(
            api_version=2, mintime=MINTIME, maxtime=MAXTIME, limit="1000", sort="ts:asc", next_offset=offset
        )
        if not page["authlogs"]:
            return {"rows": len(txids), "distinct": len(set(txids)), "pages": pages}
        pages += 1
        txids += [row["txid"] for row in page["authlogs"]]
        offset = page["metadata"]["next_offset"]
        if joined:
            offset = ",".join(offset)


def authentication_v1(admin):
    """Walks by the last row's second, as r7 does: v1 has neither id nor cursor."""
    rows, mintime = 0, 0
    while True:
        page = admin.get_authentication_log(mintime=mintime)
        if not page:
            return {"rows": rows, "first": first}
        if rows == 0:
            first = page[0]
        # A page ends with its last second, so the next one may begin behind it.
        rows += len(page)
        mintime = page[-1]["timestamp"] + 1


def items(read):
    rows, offset = 0, None
    while True:
        page = read(mintime=MINTIME, maxtime=MAXTIME, limit=1000, sort="ts:asc", next_offset=offset)
        rows += len(page["items"])
        offset = page["metadata"].get("next_offset")
        if offset is None:
            return rows


def refused(admin):
    try:
        admin.get_administrator_log()
    except RuntimeError as error:
        return str(error)
    return None


admin = client()
print(
    json.dumps(
        {
            "version": duo_client.client.__version__,
            "v2_list": authentication_v2(admin, joined=False),
            "v2_comma": authentication_v2(client(sig_version=2), joined=True),
            "v1": authentication_v1(admin),
            "activity": items(admin.get_activity_logs),
            "telephony": items(lambda **window: admin.get_telephony_log(api_version=2, **window)),
            "administrator": len(admin.get_administrator_log()),
            "wrong_key": refused(duo_client.Admin(IKEY, "x" * 40, "localhost", ca_certs=CA, port=int(PORT))),
        }
    )
)
