//! The ways in which the simulator can be told to misbehave.
//!
//! A fault names a kind and, if it shall not hit everything, an account, a feed or a path; it may spare the first
//! `after` requests and end after `times`. Faults that replace the answer exclude each other (the first that fits
//! wins); those that spoil it add up.

use serde::{Deserialize, Serialize};

use super::answer::{ApiError, Gzip, Manner, Reply};
use super::spoilt::Spoilt;
use crate::model::Feed;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// 500/50001.
    InternalError,
    /// 502 with a gateway's HTML page.
    BadGateway,
    /// The connection is reset; no answer.
    Reset,
    /// 403/40301: the permission was revoked, or the edition has no such log.
    Forbidden,
    /// 401/40103: the secret key was rotated. (`rotate` in the control rotates it for good.)
    RotatedSecret,
    /// 401/40102: the application was deleted.
    DeletedIkey,
    /// 429/42901, however slowly one asks; with `retry_after_s` in a header, if it is given.
    LockOut,
    /// 401/40105: the date is bad, whatever it is.
    BadDate,
    /// 404/40401.
    NotFound,
    /// 200 with the HTML of a captive portal.
    Portal,
    /// 200 with `"stat": "FAIL"`.
    FailOk,
    /// 200 with a text that is no JSON.
    MalformedJson,
    /// The body is compressed, for clients that say they can read it.
    Gzip,
    /// The same, and half of it is missing.
    TruncatedGzip,
    /// The body takes `over_ms` to arrive.
    SlowBody,
    /// The body is half a JSON text, correctly framed.
    TruncatedJson,
    /// The connection ends in the middle of the body.
    CutBody,
    /// A page carries its first row a second time.
    DuplicateRows,
    /// The page before comes once more, with its `next_offset`. The first page of a walk has none before it.
    DuplicatePage,
    /// A page's rows come in the wrong order; `next_offset` is right.
    ShuffledRows,
    /// The first row has a text of `bytes` bytes (10 MB) in a member no one knows.
    HugeRow,
    /// Rows carry members no one knows.
    UnknownFields,
    /// Rows carry values no one knows where a word of a list is expected.
    UnknownValues,
    /// `next_offset` is the one that was asked with: a loop.
    RepeatedOffset,
    /// A page is empty, and yet has a `next_offset`.
    EmptyPage,
    /// On the last page of a walk `next_offset` is null.
    NullOffset,
    /// On the last page of a walk there is no `next_offset`.
    AbsentOffset,
    /// There is no `next_offset` although rows remain.
    LostOffset,
    /// `total_objects` is an object.
    ObjectTotal,
    /// A page of a v1 log ends after 1000 rows, in the middle of a second.
    CutSecond,
    /// A `share` of the rows (0 to 1) appears `by_s` seconds later than it should; with `spread`, each by a part of that
    /// of its own. Not counted by requests.
    LateRows,
    /// Duo's clock is off by `by_s` seconds: the `Date` header, and what request dates are held against. Not counted by
    /// requests.
    ClockSkew,
}

/// A fault in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// Only for this account, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Only for this log, whatever its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feed: Option<Feed>,
    /// Only for this path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Spares so many fitting requests first.
    #[serde(default)]
    pub after: u64,
    /// Strikes so often, then is over; none: until it is taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// For `late_rows` and `clock_skew`: seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_s: Option<i64>,
    /// For `late_rows`: which part of the rows, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// For `late_rows`: whether each is late by its own time, up to `by_s`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub spread: bool,
    /// For `slow_body`: milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_ms: Option<u64>,
    /// For `lock_out`: seconds that the `Retry-After` header names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
    /// For `forbidden`: `message_detail`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// For `huge_row`: how many bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<usize>,
}

/// A fault that lacks what its kind needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a fault of kind `{kind}` needs `{member}`, {what}")]
pub struct IncompleteFault {
    kind: &'static str,
    member: &'static str,
    what: &'static str,
}

impl Fault {
    /// A fault of this kind that hits everything, for ever.
    #[must_use]
    pub fn of(kind: FaultKind) -> Self {
        Self {
            kind,
            account: None,
            feed: None,
            path: None,
            after: 0,
            times: None,
            by_s: None,
            share: None,
            spread: false,
            over_ms: None,
            retry_after_s: None,
            detail: None,
            bytes: None,
        }
    }

    /// Whether all is there that the kind needs.
    ///
    /// # Errors
    /// Says what is missing.
    pub fn check(&self) -> Result<(), IncompleteFault> {
        let lacks = |kind, member, what| Err(IncompleteFault { kind, member, what });
        match self.kind {
            FaultKind::SlowBody if self.over_ms.is_none() => lacks("slow_body", "over_ms", "milliseconds"),
            FaultKind::ClockSkew if self.by_s.is_none() => lacks("clock_skew", "by_s", "seconds"),
            FaultKind::LateRows if self.by_s.is_none() => lacks("late_rows", "by_s", "seconds"),
            FaultKind::LateRows if !self.share.is_some_and(|share| (0.0..=1.0).contains(&share)) => {
                lacks("late_rows", "share", "a number from 0 to 1")
            }
            _ => Ok(()),
        }
    }

    fn fits(&self, at: &Place<'_>) -> bool {
        self.account.as_deref().is_none_or(|account| account == at.account)
            && self.feed.is_none_or(|feed| Some(feed) == at.feed)
            && self.path.as_deref().is_none_or(|path| path == at.path)
    }

    /// Counts a fitting request; whether the fault strikes it.
    fn strikes(&mut self) -> bool {
        if self.after > 0 {
            self.after -= 1;
            return false;
        }
        match &mut self.times {
            None => true,
            Some(0) => false,
            Some(times) => {
                *times -= 1;
                true
            }
        }
    }

    fn over(&self) -> bool {
        self.times == Some(0)
    }
}

/// Where a request goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) account: &'a str,
    /// None: not a log.
    pub(super) feed: Option<Feed>,
    pub(super) path: &'a str,
}

/// What befalls one request.
#[derive(Debug, Default)]
pub(super) struct Struck {
    /// The answer in place of the real one.
    pub(super) instead: Option<Reply>,
    /// Spoils a page.
    pub(super) page: Spoilt,
    over_ms: Option<u64>,
    truncated: bool,
    malformed: bool,
    cut: bool,
    gzip: Gzip,
}

impl Struck {
    /// Spoils the way the reply is sent.
    pub(super) fn spoil(&self, mut reply: Reply) -> Reply {
        reply.gzip = self.gzip;
        if self.malformed {
            reply.body = reply.body.replace("\"response\": ", "\"response\": nan, ");
        }
        if self.truncated {
            let half = reply.body.len() / 2;
            reply.body = reply.body.chars().take(half).collect();
        }
        if let Some(over_ms) = self.over_ms {
            reply.manner = Manner::Slow(over_ms);
        }
        if self.cut {
            reply.manner = Manner::Cut;
        }
        reply
    }
}

/// The faults in force, oldest first.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) list: Vec<Fault>,
}

impl Faults {
    /// How far Duo's clock is off, ms.
    pub(super) fn skew_ms(&self) -> i64 {
        let skews = self.list.iter().filter(|fault| fault.kind == FaultKind::ClockSkew);
        skews.filter_map(|fault| fault.by_s).sum::<i64>().saturating_mul(1_000)
    }

    /// Which rows come late: so many of 10 000, by so many ms, and whether each by a time of its own.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be a share: 0 to 10 000"
    )]
    pub(super) fn late(&self, at: &Place<'_>) -> (u32, i64, bool) {
        let late = self
            .list
            .iter()
            .find(|fault| fault.kind == FaultKind::LateRows && fault.fits(at));
        late.map_or((0, 0, false), |fault| {
            (
                (fault.share.unwrap_or(0.0) * 10_000.0) as u32,
                fault.by_s.unwrap_or(0).saturating_mul(1_000),
                fault.spread,
            )
        })
    }

    /// What befalls this request; counts it.
    pub(super) fn strike(&mut self, at: &Place<'_>) -> Struck {
        let mut struck = Struck::default();
        for fault in self.list.iter_mut().filter(|fault| fault.fits(at)) {
            let instead = instead(fault);
            let constant = matches!(fault.kind, FaultKind::LateRows | FaultKind::ClockSkew);
            if constant || (instead.is_some() && struck.instead.is_some()) || !fault.strikes() {
                continue;
            }
            match fault.kind {
                FaultKind::SlowBody => struck.over_ms = fault.over_ms,
                FaultKind::TruncatedJson => struck.truncated = true,
                FaultKind::CutBody => struck.cut = true,
                FaultKind::DuplicateRows => struck.page.duplicate_rows = true,
                FaultKind::UnknownFields => struck.page.unknown_fields = true,
                FaultKind::UnknownValues => struck.page.unknown_values = true,
                FaultKind::RepeatedOffset => struck.page.repeated_offset = true,
                FaultKind::EmptyPage => struck.page.empty = true,
                FaultKind::MalformedJson => struck.malformed = true,
                FaultKind::Gzip => struck.gzip = Gzip::Whole,
                FaultKind::TruncatedGzip => struck.gzip = Gzip::Half,
                FaultKind::DuplicatePage => struck.page.duplicate_page = true,
                FaultKind::ShuffledRows => struck.page.shuffled = true,
                FaultKind::HugeRow => struck.page.huge = Some(fault.bytes.unwrap_or(10_000_000)),
                FaultKind::NullOffset => struck.page.null_offset = true,
                FaultKind::AbsentOffset => struck.page.absent_offset = true,
                FaultKind::LostOffset => struck.page.lost_offset = true,
                FaultKind::ObjectTotal => struck.page.object_total = true,
                FaultKind::CutSecond => struck.page.cut_second = true,
                _ => struck.instead = instead,
            }
        }
        self.list.retain(|fault| !fault.over());
        struck
    }
}

fn instead(fault: &Fault) -> Option<Reply> {
    match fault.kind {
        FaultKind::InternalError => Some(ApiError::Internal.into()),
        FaultKind::BadGateway => Some(Reply::bad_gateway()),
        FaultKind::Portal => Some(Reply::portal()),
        FaultKind::Reset => Some(Reply {
            manner: Manner::Reset,
            ..ApiError::Internal.into()
        }),
        FaultKind::Forbidden => Some(match &fault.detail {
            None => ApiError::Forbidden.into(),
            Some(detail) => Reply::failure(403, ApiError::Forbidden, Some(detail)),
        }),
        FaultKind::RotatedSecret => Some(ApiError::InvalidSignature.into()),
        FaultKind::DeletedIkey => Some(ApiError::InvalidIkey.into()),
        FaultKind::BadDate => Some(ApiError::BadDate.into()),
        FaultKind::NotFound => Some(ApiError::NotFound.into()),
        FaultKind::FailOk => Some(Reply::failure(200, ApiError::Internal, None)),
        FaultKind::LockOut => Some(Reply {
            retry_after_s: fault.retry_after_s,
            ..ApiError::TooManyRequests.into()
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place<'static> = Place {
        account: "acme",
        feed: Some(Feed::Activity),
        path: "/admin/v2/logs/activity",
    };

    #[test]
    fn a_fault_spares_strikes_and_is_over() {
        let mut faults = Faults {
            list: vec![Fault {
                after: 1,
                times: Some(2),
                ..Fault::of(FaultKind::InternalError)
            }],
        };
        let struck: Vec<bool> = (0..4).map(|_| faults.strike(&HERE).instead.is_some()).collect();
        assert_eq!(struck, [false, true, true, false]);
        assert!(faults.list.is_empty());
    }

    #[test]
    fn a_fault_hits_only_what_it_names() {
        let elsewhere = Place {
            feed: Some(Feed::Telephony),
            ..HERE
        };
        let mut faults = Faults {
            list: vec![Fault {
                feed: Some(Feed::Activity),
                ..Fault::of(FaultKind::Forbidden)
            }],
        };
        assert!(faults.strike(&HERE).instead.is_some());
        assert!(faults.strike(&elsewhere).instead.is_none());
    }

    #[test]
    fn what_a_kind_needs_is_asked_for() {
        let error = Fault::of(FaultKind::LateRows).check().unwrap_err();
        assert_eq!(error.to_string(), "a fault of kind `late_rows` needs `by_s`, seconds");
    }
}
