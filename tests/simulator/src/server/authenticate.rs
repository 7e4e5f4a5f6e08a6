//! Who signed a request, and whether in time.

use jiff::fmt::rfc2822::DateTimeParser;

use super::answer::{ApiError, Request};
use super::state::{Moving, State};
use crate::signature::{self, Form, Signed};

/// Whose key signed a request.
pub(super) enum Signer {
    Account(usize),
    Parent,
}

impl State {
    /// Whose key signed the request, and how.
    pub(super) fn authenticate(
        &self,
        moving: &mut Moving,
        request: &Request,
        wall_ms: i64,
    ) -> Result<(Signer, Form), ApiError> {
        let authorization = request.header("authorization").ok_or(ApiError::MissingCredentials)?;
        let (ikey, digest) = signature::credentials(authorization).ok_or(ApiError::InvalidIkey)?;
        let parent = self
            .family
            .as_ref()
            .map(|family| &family.parent)
            .filter(|parent| parent.ikey == ikey);
        let (signer, skey) = match (self.by_ikey.get(&ikey), parent) {
            (Some(at), _) => (Signer::Account(*at), moving.skeys.get(*at)),
            (None, Some(parent)) => (Signer::Parent, Some(&parent.skey)),
            (None, None) => return Err(ApiError::InvalidIkey),
        };
        let skey = skey.ok_or(ApiError::InvalidIkey)?;
        let date = request
            .header("x-duo-date")
            .or_else(|| request.header("date"))
            .ok_or(ApiError::MissingDate)?;
        if !timely(moving, date, wall_ms) {
            return Err(match moving.settings.stale_is_forged {
                true => ApiError::InvalidSignature,
                false => ApiError::BadDate,
            });
        }
        let signed = Signed {
            date: date.to_owned(),
            method: request.method.clone(),
            host: request.header("host").unwrap_or_default().to_owned(),
            path: request.path.clone(),
            query: request.query.clone(),
            body: request.body.clone(),
            x_duo: request
                .headers
                .iter()
                .filter(|(name, _)| name.starts_with("x-duo-"))
                .cloned()
                .collect(),
        };
        let form =
            signature::verify(&signed, skey, &digest, &moving.settings.signatures).ok_or(ApiError::InvalidSignature)?;
        if moving.settings.refuse_replays && !moving.seen.insert(digest) {
            return Err(ApiError::InvalidSignature);
        }
        Ok((signer, form))
    }
}

/// Whether a request's date is near enough to the wall's time or to the simulated time, both as skewed.
///
/// Where the simulated clock runs fast, a client that follows it is behind by its own reaction time, in fast seconds;
/// so the tolerance there grows with the speed.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "saturates; seconds, not nanoseconds"
)]
fn timely(moving: &Moving, date: &str, wall_ms: i64) -> bool {
    let Ok(date) = DateTimeParser::new().parse_timestamp(date) else {
        return false;
    };
    let date_ms = date.as_millisecond();
    let skewed_wall = wall_ms.saturating_add(moving.faults.skew_ms());
    // Dates have whole seconds: the client's may be up to one behind its own clock.
    let tolerance_ms = moving.settings.skew_s.saturating_mul(1_000).saturating_add(999);
    let fast = (tolerance_ms as f64 * moving.clock.speed().max(1.0)) as i64;
    (date_ms - skewed_wall).abs() <= tolerance_ms || (date_ms - moving.duo_now(wall_ms)).abs() <= fast
}
