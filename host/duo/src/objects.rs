//! From an HTTP answer to objects of the account, without their secrets.

use serde_json::Value;
use serde_json::value::RawValue;

use crate::decode::{Answer, list, malformed, parts, response};
use crate::error::DuoError;
use crate::inventory::{ChildAccount, Inventory, InventoryPage};
use crate::redact;

/// A page of objects, or a single object as a page of one. `asked`: the offset that it was asked from.
pub(crate) fn inventory(kind: Inventory, asked: u64, answer: &Answer) -> Result<InventoryPage, DuoError> {
    let (response, metadata) = parts(answer)?;
    let (found, next_offset, total) = if kind.is_single() {
        if !response.get().starts_with('{') {
            return Err(malformed(answer, "`response` is not an object"));
        }
        (vec![response.to_owned()], None, None)
    } else {
        let metadata = metadata.and_then(|metadata| serde_json::from_str::<Value>(metadata.get()).ok());
        let total = metadata
            .as_ref()
            .and_then(|metadata| metadata.get("total_objects"))
            .and_then(|total| count(total).or_else(|| count(total.get("value")?)));
        let next = match metadata.as_ref().and_then(|metadata| metadata.get("next_offset")) {
            None | Some(Value::Null) => None,
            Some(next) => Some(
                count(next)
                    .filter(|next| *next > asked)
                    .ok_or_else(|| malformed(answer, "`metadata.next_offset` leads nowhere"))?,
            ),
        };
        (list(answer, response, "response")?, next, total)
    };
    let received = found.len();
    let rows: Vec<Box<RawValue>> = found.into_iter().filter_map(redact::without_secrets).collect();
    if rows.len() < received {
        return Err(malformed(
            answer,
            "an object cannot be read, so nobody can say whether it holds a secret",
        ));
    }
    Ok(InventoryPage {
        rows,
        next_offset,
        total,
        server_date_ms: answer.date_ms,
    })
}

/// The child accounts. One without an id or a host cannot be read, and spoils no list.
pub(crate) fn accounts(answer: &Answer) -> Result<Vec<ChildAccount>, DuoError> {
    let rows = list(answer, response(answer)?, "response")?;
    let accounts = rows
        .iter()
        .filter_map(|row| match serde_json::from_str::<ChildAccount>(row.get()) {
            Ok(account) if !account.account_id.is_empty() && !account.api_hostname.is_empty() => Some(account),
            _ => {
                tracing::warn!(
                    at = answer.at,
                    "an account in the list has no account_id or api_hostname; it is left out"
                );
                None
            }
        });
    Ok(accounts.collect())
}

/// A count, written as a number or as a text.
fn count(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::log::Log;

    /// Answers that are well formed, to be damaged.
    const SEEDS: [&str; 6] = [
        r#"{"response": {"authlogs": [{"txid": "1"}], "metadata": {"next_offset": ["1532951895000", "af0b"]}}, "stat": "OK"}"#,
        r#"{"response": {"items": [{"ts": "2026"}, null], "metadata": {"next_offset": "1,a", "total_objects": {"value": 3}}}, "stat": "OK"}"#,
        r#"{"response": {"events": [{"sekey": "S"}], "metadata": {"next_offset": 1591014}}, "stat": "OK"}"#,
        r#"{"response": [{"timestamp": 1, "secret_key": "x"}], "metadata": {"next_offset": 300, "total_objects": "7"}, "stat": "OK"}"#,
        r#"{"response": [{"account_id": "DA1", "api_hostname": "api-1.duosecurity.com", "name": "One"}], "stat": "OK"}"#,
        r#"{"code": 40301, "message": "Access forbidden", "message_detail": "Wrong integration type", "stat": "FAIL"}"#,
    ];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]
        #[test]
        fn whatever_comes_is_an_answer_or_an_error_with_words(
            seed in 0..SEEDS.len(),
            wounds in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3), 0..6),
            cut in prop::option::of(any::<prop::sample::Index>()),
            status in prop::sample::select(vec![200, 204, 302, 400, 401, 403, 404, 407, 418, 429, 500, 503, 999]),
        ) {
            let mut bytes = SEEDS[seed].as_bytes().to_vec();
            for (place, byte, how) in wounds {
                let at = place.index(bytes.len());
                match how {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    _ => { bytes.splice(at.., bytes[at / 2..].to_vec()); }
                }
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            let answer = Answer {
                at: "api-x.duosecurity.com/admin/v1/users".to_owned(),
                status,
                date_ms: None,
                retry_after: None,
                body: String::from_utf8_lossy(&bytes).into_owned(),
                secret: "hunter2".to_owned().into(),
            };
            let mut errors = Vec::new();
            for log in Log::ALL {
                errors.extend(crate::decode::page(log, &answer).err());
            }
            for kind in Inventory::ALL {
                errors.extend(inventory(kind, 0, &answer).err());
            }
            errors.extend(accounts(&answer).err());
            for error in errors {
                prop_assert!(error.to_string().len() < 1_000, "{error}");
                prop_assert!(!error.to_string().chars().any(char::is_control), "{error}");
            }
        }

        #[test]
        fn no_text_is_a_date_that_harms(text in "[A-Za-z]{3}, [0-9]{1,2} [A-Z][a-z]{2} [0-9]{4,5} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT|.{0,40}") {
            let _ = crate::date::parse(&text);
            let _ = crate::date::retry_after(&text, Some(i64::MIN));
        }
    }
}
