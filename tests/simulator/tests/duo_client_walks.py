"""Calls everything in Cisco's own client that reads, and prints what came: {"calls": {NAME: [...]}, "left_out": [...]}.

usage: duo_client_walks.py SETTING, a JSON object: port, ca, ikey, skey, mintime, maxtime (ms), parent {ikey, skey},
child {account_id, host}

Which calls there are is asked of the client itself: a method it gains, or one that is forgotten here, is in "left_out".
"""

import json
import sys
import warnings

import duo_client
from duo_client.accounts import Accounts
from duo_client.admin import AccountAdmin, Admin

SETTING = json.loads(sys.argv[1])
WINDOW = {"mintime": SETTING["mintime"], "maxtime": SETTING["maxtime"]}
SECONDS = {name: str(time // 1000) for name, time in WINDOW.items()}
MANY = 12  # for as many objects as this, one at a time

warnings.simplefilter("ignore", DeprecationWarning)


def settings(**more):
    # duo_client pins its own CA bundle unless it is given another.
    return {"host": "localhost", "port": SETTING["port"], "ca_certs": SETTING["ca"], **more}


# A small page, so that every list has several.
admin = Admin(SETTING["ikey"], SETTING["skey"], paging_limit=17, **settings())


def bare(rows):
    """Without what the client itself adds."""
    return [{name: value for name, value in row.items() if name not in ("eventtype", "host")} for row in rows]


def v1(read):
    """From second to second: a page ends with its last second."""
    rows, mintime = [], 0
    while page := read(mintime=mintime):
        rows += page
        mintime = page[-1]["timestamp"] + 1
    return bare(rows)


def v2(read, name, **more):
    """To the end by next_offset, as the guides do."""
    rows, offset = [], None
    while True:
        page = read(limit=more.get("limit", 300), sort="ts:asc", next_offset=offset, **WINDOW)
        rows += page[name]
        offset = page["metadata"].get("next_offset")
        if not page[name] or offset is None:
            return bare(rows)


def trust_by_offset():
    rows, offset = [], None
    while True:
        page = admin.get_trust_monitor_events_by_offset(limit=11, offset=offset, **WINDOW)
        rows += page["events"]
        offset = page["metadata"].get("next_offset")
        if offset is None:
            return rows


def ids(list_of, name):
    return [one[name] for one in list_of]


def each(read, keys):
    return [read(key) for key in keys[:MANY]]


def of_users(read):
    """What hangs on users, one user after the other: [user_id, object]."""
    return [[user, one] for user in USERS[: 3 * MANY] for one in read(user)]


def of_some(read):
    """The same for fewer: the calls that are not iterators are made of them."""
    return [[user, one] for user in USERS[:MANY] for one in read(user)]


def refused(read):
    try:
        return [read()]
    except RuntimeError as error:
        return [str(error)]


USERS = ids(admin.get_users_iterator(), "user_id")
NAMES = ids(admin.get_users_iterator(), "username")
PHONES = list(admin.get_phones_generator())
TOKENS = list(admin.get_tokens_generator())
GROUPS = ids(admin.get_groups_generator(), "group_id")
INTEGRATIONS = ids(admin.get_integrations_generator(), "integration_key")
ADMINS = ids(admin.get_admins_iterator(), "admin_id")

CALLS = {
    "calculate_policy": lambda: [admin.calculate_policy(INTEGRATIONS[0], USERS[0])],
    "get_activity_logs": lambda: v2(admin.get_activity_logs, "items"),
    "get_admin": lambda: each(admin.get_admin, ADMINS),
    "get_administrative_units": admin.get_administrative_units,
    "get_administrative_units_iterator": admin.get_administrative_units_iterator,
    "get_administrator_log": lambda: v1(admin.get_administrator_log),
    "get_admins": admin.get_admins,
    "get_admins_iterator": admin.get_admins_iterator,
    "get_allowed_admin_auth_methods": lambda: [admin.get_allowed_admin_auth_methods()],
    "get_authentication_attempts": lambda: [admin.get_authentication_attempts(**SECONDS)],
    "get_authentication_log": lambda: v2(
        lambda **window: admin.get_authentication_log(api_version=2, **{**window, "limit": "300"}), "authlogs"
    ),
    "get_authentication_log v1": lambda: v1(admin.get_authentication_log),
    "get_bypass_codes": admin.get_bypass_codes,
    "get_bypass_codes_generator": admin.get_bypass_codes_generator,
    "get_desktoptoken_by_id": lambda: each(
        admin.get_desktoptoken_by_id, ids(admin.get_desktoptokens_generator(), "desktoptoken_id")
    ),
    "get_desktoptokens": admin.get_desktoptokens,
    "get_desktoptokens_generator": admin.get_desktoptokens_generator,
    "get_endpoint": lambda: each(admin.get_endpoint, ids(admin.get_endpoints_iterator(), "epkey")),
    "get_endpoints": admin.get_endpoints,
    "get_endpoints_iterator": admin.get_endpoints_iterator,
    "get_external_password_mgmt_status_for_admin": lambda: each(
        admin.get_external_password_mgmt_status_for_admin, ADMINS
    ),
    "get_external_password_mgmt_statuses": admin.get_external_password_mgmt_statuses,
    "get_group": lambda: each(admin.get_group, GROUPS),
    "get_group v2": lambda: each(lambda group: admin.get_group(group, api_version=2), GROUPS),
    "get_group_users": lambda: [[group, user] for group in GROUPS[:1] for user in admin.get_group_users(group)],
    "get_group_users_iterator": lambda: [
        [group, user] for group in GROUPS for user in admin.get_group_users_iterator(group)
    ],
    "get_groups": admin.get_groups,
    "get_groups_by_group_ids": lambda: admin.get_groups_by_group_ids(GROUPS[:MANY]),
    "get_groups_generator": admin.get_groups_generator,
    "get_info_summary": lambda: [admin.get_info_summary()],
    "get_info_telephony_credits_used": lambda: [admin.get_info_telephony_credits_used(**SECONDS)],
    "get_integration": lambda: each(admin.get_integration, INTEGRATIONS),
    "get_integrations": admin.get_integrations,
    "get_integrations_generator": admin.get_integrations_generator,
    "get_logo": lambda: refused(admin.get_logo),
    "get_offline_log": lambda: v1(admin.get_offline_log),
    "get_passport_config": lambda: [admin.get_passport_config()],
    "get_phone_by_id": lambda: each(admin.get_phone_by_id, ids(PHONES, "phone_id")),
    "get_phones": admin.get_phones,
    "get_phones_by_number": lambda: [
        one for phone in PHONES[:MANY] for one in admin.get_phones_by_number(phone["number"]) if one == phone
    ],
    "get_phones_generator": admin.get_phones_generator,
    "get_policies_v2": admin.get_policies_v2,
    "get_policies_v2_iterator": admin.get_policies_v2_iterator,
    "get_policy_summary_v2": lambda: [admin.get_policy_summary_v2()],
    "get_policy_v2": lambda: each(admin.get_policy_v2, ids(admin.get_policies_v2_iterator(), "policy_key")),
    "get_registered_device_by_id": lambda: each(
        admin.get_registered_device_by_id, ids(admin.get_registered_devices_generator(), "compkey")
    ),
    "get_registered_devices": admin.get_registered_devices,
    "get_registered_devices_generator": admin.get_registered_devices_generator,
    "get_secret_key": lambda: each(admin.get_secret_key, INTEGRATIONS),
    "get_settings": lambda: [admin.get_settings()],
    "get_telephony_log": lambda: v2(
        lambda sort, **window: admin.get_telephony_log(api_version=2, sort="asc", **window), "items"
    ),
    "get_telephony_log v1": lambda: v1(admin.get_telephony_log_from),
    "get_token_by_id": lambda: each(admin.get_token_by_id, ids(TOKENS, "token_id")),
    "get_tokens": admin.get_tokens,
    "get_tokens_by_serial": lambda: [
        one for token in TOKENS[:MANY] for one in admin.get_tokens_by_serial(token["type"], token["serial"])
    ],
    "get_tokens_generator": admin.get_tokens_generator,
    "get_trust_monitor_events_by_offset": trust_by_offset,
    "get_trust_monitor_events_iterator": lambda: admin.get_trust_monitor_events_iterator(**WINDOW),
    "get_u2ftoken_by_id": lambda: each(
        admin.get_u2ftoken_by_id, ids(admin.get_u2ftokens_iterator(), "registration_id")
    ),
    "get_u2ftokens": admin.get_u2ftokens,
    "get_u2ftokens_iterator": admin.get_u2ftokens_iterator,
    "get_user_authentication_attempts": lambda: [admin.get_user_authentication_attempts(**SECONDS)],
    "get_user_by_email": lambda: [
        one for user in list(admin.get_users_iterator())[:MANY] for one in admin.get_user_by_email(user["email"])
    ],
    "get_user_by_id": lambda: each(admin.get_user_by_id, USERS),
    "get_user_bypass_codes": lambda: of_some(admin.get_user_bypass_codes),
    "get_user_bypass_codes_iterator": lambda: of_users(admin.get_user_bypass_codes_iterator),
    "get_user_groups": lambda: of_some(admin.get_user_groups),
    "get_user_groups_iterator": lambda: of_users(admin.get_user_groups_iterator),
    "get_user_phones": lambda: of_some(admin.get_user_phones),
    "get_user_phones_iterator": lambda: of_users(admin.get_user_phones_iterator),
    "get_user_tokens": lambda: of_some(admin.get_user_tokens),
    "get_user_tokens_iterator": lambda: of_users(admin.get_user_tokens_iterator),
    "get_user_u2ftokens": lambda: of_some(admin.get_user_u2ftokens),
    "get_user_u2ftokens_iterator": lambda: of_users(admin.get_user_u2ftokens_iterator),
    "get_user_webauthncredentials": lambda: of_some(admin.get_user_webauthncredentials),
    "get_user_webauthncredentials_iterator": lambda: of_users(admin.get_user_webauthncredentials_iterator),
    "get_users": admin.get_users,
    "get_users_by_ids": lambda: admin.get_users_by_ids(USERS[:MANY]),
    "get_users_by_name": lambda: [one for name in NAMES[:MANY] for one in admin.get_users_by_name(name)],
    "get_users_by_names": lambda: admin.get_users_by_names(NAMES[:MANY]),
    "get_users_iterator": admin.get_users_iterator,
    "get_webauthncredential_by_id": lambda: each(
        admin.get_webauthncredential_by_id, ids(admin.get_webauthncredentials_iterator(), "webauthnkey")
    ),
    "get_webauthncredentials": admin.get_webauthncredentials,
    "get_webauthncredentials_iterator": admin.get_webauthncredentials_iterator,
}

# The telephony log is the one that asks for 180 days where mintime is 0.
admin.get_telephony_log_from = lambda mintime: admin.get_telephony_log(mintime=mintime or 1)


def accounts():
    """The Accounts API: the parent lists its children and reads one of them, at its own host and at the wrong one."""
    keys = {"ikey": SETTING["parent"]["ikey"], "skey": SETTING["parent"]["skey"]}
    child, port = SETTING["child"], int(SETTING["child"]["host"].rsplit(":")[-1])
    whole = {**keys, **settings()}
    at_home = AccountAdmin(child["account_id"], "localhost", **{**whole, "port": port})
    lost = AccountAdmin(child["account_id"], "localhost", **whole)
    stranger = AccountAdmin("DANOBODY000000000000", "localhost", **{**whole, "port": port})
    return {
        "get_child_accounts": Accounts(**whole).get_child_accounts(),
        "get_child_accounts v2": Accounts(sig_version=2, **whole).get_child_accounts(),
        "get_child_api_host": [lost.get_child_api_host(child["account_id"], **whole)],
        "get_edition": [at_home.get_edition()],
        "get_telephony_credits": [at_home.get_telephony_credits()],
        "child's users": list(at_home.get_users_iterator()),
        "child's log": bare(at_home.get_administrator_log()),
        "wrong host": refused(lost.get_settings),
        "wrong child": refused(stranger.get_settings),
        "parent as an admin": refused(Admin(**whole).get_settings),
        "admin as a parent": refused(Accounts(SETTING["ikey"], SETTING["skey"], **settings()).get_child_accounts),
    }


# What is neither a log nor an inventory: the progress of something that was started by a call that writes.
NO_READING = {"get_verification_push_response", "get_idv_status"}

reading = {name for kind in (Admin, AccountAdmin, Accounts) for name in dir(kind) if name.startswith("get_")}
called = {name.split(" ")[0] for name in CALLS}
calls = {name: list(read()) for name, read in CALLS.items()}
calls.update(accounts())
called |= {name.split(" ")[0] for name in calls}
old = Admin(SETTING["ikey"], SETTING["skey"], sig_version=2, **settings())
calls["policies signed with v2"] = refused(old.get_policies_v2)
calls["integrations signed with v2"] = refused(old.get_integrations)
calls["users signed with v2"] = [len(old.get_users())]
print(
    json.dumps(
        {"version": duo_client.client.__version__, "calls": calls, "left_out": sorted(reading - called - NO_READING)}
    )
)
