//! What can be wrong with an answer, and what `picket status` has to say of it.

use serde_json::{Value, json};

use crate::content::Log;

/// A fault of the simulator, or a variant of one. Times in ms.
pub(crate) struct Knob {
    /// Also the name of the account that it is turned at.
    pub(crate) name: &'static str,
    /// The fault, without account and path.
    fault: fn() -> Value,
    /// What the error has to say, among it what to do next; empty: it is no error, and there must be none. `{log}` is the log as
    /// `collect:` calls it.
    says: &'static [&'static str],
    /// How rows may be told differently while it lasts.
    pub(crate) tells: Tells,
}

/// What becomes of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tells {
    /// Nothing: each is stored as it is.
    Same,
    /// They have other members or values. Where Duo gives a row no id, or a version of it, what it says is what it is.
    Otherwise,
    /// One of them is too long to be an event: kept as it came, and counted as unreadable.
    Huge,
}

impl Knob {
    /// The fault at one log. An error strikes from the second page on, while it lasts: before the first there is one poll that
    /// does not know yet that Duo's clock went on.
    pub(crate) fn fault(&self, log: &Log) -> Value {
        let mut fault = (self.fault)();
        fault["account"] = json!(self.name);
        fault["path"] = json!(log.path);
        if self.is_error(log) {
            fault["after"] = json!(2);
        }
        fault
    }

    /// Whether it is an error there. Where an offset means nothing to anybody but Duo, one that leads in a circle is.
    pub(crate) fn is_error(&self, log: &Log) -> bool {
        !self.says(log).is_empty()
    }

    /// What the error has to say there; nothing: it is none.
    pub(crate) fn says(&self, log: &Log) -> Vec<String> {
        let says = match (self.name, log.name) {
            ("repeated-offset", "trust_monitor") => {
                &["`next_offset` comes again", "see whether a proxy changes answers"]
            }
            _ => self.says,
        };
        says.iter().map(|words| words.replace("{log}", log.collect)).collect()
    }

    /// `timeout` of its tenant.
    pub(crate) fn timeout(&self) -> &'static str {
        if self.name == "too-slow" { "2s" } else { "30s" }
    }
}

macro_rules! knobs {
    ($($name:literal $fault:tt $tells:ident [$($says:literal),*];)*) => {
        &[$(Knob { name: $name, fault: || json!($fault), says: &[$($says),*], tells: Tells::$tells }),*]
    };
}

/// All of them: each kind of fault that the simulator has, but `clock_skew`, which is every account's.
pub(crate) const KNOBS: &[Knob] = knobs! {
    "internal-error" {"kind": "internal_error"} Same ["HTTP 500", "see status.duo.com"];
    "bad-gateway" {"kind": "bad_gateway"} Same ["HTTP 502", "see status.duo.com, and whether the web page comes from a proxy or gateway"];
    "reset" {"kind": "reset"} Same ["see whether a firewall or proxy in between"];
    "portal" {"kind": "portal"} Same ["not JSON", "login page answers in Duo's place", "set `proxy`"];
    "fail-ok" {"kind": "fail_ok"} Same ["see status.duo.com"];
    "malformed-json" {"kind": "malformed_json"} Same ["not valid JSON", "see whether a proxy changes answers"];
    "forbidden" {"kind": "forbidden"} Same ["40301", "take {log} out of `collect`"];
    "forbidden-network" {"kind": "forbidden", "detail": "IP address not allowed"} Same ["add this machine's public address to \"Networks for API Access\""];
    "not-found" {"kind": "not_found"} Same ["40401", "take {log} out of `collect`"];
    "rotated-secret" {"kind": "rotated_secret"} Same ["probably rotated; put the new one in ", "rotated-secret.secret"];
    "deleted-ikey" {"kind": "deleted_ikey"} Same ["40102", "if it was deleted, protect a new one"];
    "bad-date" {"kind": "bad_date"} Same ["refuses the request's date", "timedatectl status"];
    "lock-out" {"kind": "lock_out"} Same ["rate limit is reached", "slows down by itself; if it stays so, see whether another program polls"];
    "lock-out-told" {"kind": "lock_out", "retry_after_s": 2} Same ["Duo asks to wait 2 s", "slows down by itself"];
    "too-slow" {"kind": "slow_body", "over_ms": 120_000} Same ["no complete answer in time", "see whether a firewall or proxy in between is slow"];
    "slow" {"kind": "slow_body", "over_ms": 400} Same [];
    "truncated-json" {"kind": "truncated_json"} Same ["ends too early", "see whether a proxy changes answers"];
    "cut-body" {"kind": "cut_body"} Same ["broke off", "see whether a firewall or proxy in between"];
    "truncated-gzip" {"kind": "truncated_gzip"} Same ["see whether a"];
    "gzip" {"kind": "gzip"} Same [];
    "duplicate-rows" {"kind": "duplicate_rows"} Same [];
    "duplicate-page" {"kind": "duplicate_page"} Same [];
    "shuffled-rows" {"kind": "shuffled_rows"} Same [];
    "huge-row" {"kind": "huge_row"} Huge [];
    "unknown-fields" {"kind": "unknown_fields"} Otherwise [];
    "unknown-values" {"kind": "unknown_values"} Otherwise [];
    "repeated-offset" {"kind": "repeated_offset"} Same [];
    "empty-page" {"kind": "empty_page", "after": 2, "times": 1} Same [];
    "null-offset" {"kind": "null_offset"} Same [];
    "absent-offset" {"kind": "absent_offset"} Same [];
    "lost-offset" {"kind": "lost_offset"} Same [];
    "object-total" {"kind": "object_total"} Same [];
    "late-rows" {"kind": "late_rows", "share": 0.5, "by_s": 8} Same [];
    "late-rows-spread" {"kind": "late_rows", "share": 0.5, "by_s": 8, "spread": true} Same [];
};
