//! From an HTTP answer to a page, or to an error with a name.

use std::borrow::Cow;
use std::ops::Range;
use std::time::Duration;

use bytestring::ByteString;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::DuoError;
use crate::log::{Log, Shape};
use crate::page::{Offset, Page};
use crate::rows;

/// An answer as received.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) at: String,
    pub(crate) status: u16,
    pub(crate) date_ms: Option<i64>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: String,
    /// Cut out of whatever is quoted from the body, should a server echo it.
    pub(crate) secret: SecretString,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    stat: Option<Cow<'a, str>>,
    #[serde(default)]
    code: Option<Value>,
    #[serde(default)]
    message: Option<Value>,
    #[serde(default)]
    message_detail: Option<Value>,
    #[serde(borrow, default, deserialize_with = "present")]
    response: Option<&'a RawValue>,
    #[serde(borrow, default)]
    metadata: Option<&'a RawValue>,
}

/// Tells `null` from nothing: an empty list is sometimes null.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// The `response` of an answer that succeeded.
pub(crate) fn response(answer: &Answer) -> Result<&RawValue, DuoError> {
    parts(answer).map(|(response, _)| response)
}

/// The `response` of an answer that succeeded, and the `metadata` beside it.
pub(crate) fn parts(answer: &Answer) -> Result<(&RawValue, Option<&RawValue>), DuoError> {
    let Answer { at, status, .. } = answer;
    let (at, status) = (at.clone(), *status);
    if (300..400).contains(&status) {
        return Err(DuoError::Redirected { at, status });
    }
    let parsed = serde_json::from_str::<Envelope<'_>>(&answer.body);
    let is_success = (200..300).contains(&status);
    match parsed {
        Ok(envelope) if is_success && envelope.stat.as_deref() == Some("OK") => envelope
            .response
            .map(|response| (response, envelope.metadata))
            .ok_or_else(|| malformed(answer, "it has no `response`")),
        Ok(envelope) => Err(refusal(answer, &envelope)),
        Err(_) if status == 429 => Err(DuoError::RateLimited {
            at,
            retry_after: answer.retry_after,
        }),
        Err(_) if status >= 500 => Err(DuoError::Server {
            at,
            status,
            message: excerpt(answer, &answer.body),
        }),
        Err(error) if answer.body.trim_start().starts_with(['{', '[']) => {
            let length = answer.body.len();
            Err(malformed(
                answer,
                &format!("not the JSON that was expected after {length} bytes: {}", cause(&error)),
            ))
        }
        Err(_) => Err(DuoError::NotJson {
            at,
            status,
            start: excerpt(answer, &answer.body),
        }),
    }
}

/// The page in an answer that succeeded.
pub(crate) fn page(log: Log, answer: &Answer) -> Result<Page, DuoError> {
    match usual(log, answer) {
        Some(page) => Ok(page),
        None => unusual(log, answer),
    }
}

/// The page in an answer as nearly all are. None: somebody has to look closer.
fn usual(log: Log, answer: &Answer) -> Option<Page> {
    #[derive(Deserialize)]
    struct Whole<'a> {
        #[serde(borrow)]
        stat: Cow<'a, str>,
        response: Body,
    }
    #[derive(Deserialize)]
    struct Body {
        /// The rows' place, left empty: what they are has been read.
        #[serde(alias = "authlogs", alias = "items", alias = "events")]
        _rows: [(); 0],
        #[serde(default)]
        metadata: Option<Value>,
    }
    if log.shape() == Shape::FromSecond || !(200..300).contains(&answer.status) {
        return None;
    }
    let body = answer.body.as_str();
    let list = rows::find(body, rows_of(log))?;
    let around = [body.get(..list.span.start)?, body.get(list.span.end..)?].concat();
    let whole: Whole<'_> = serde_json::from_str(&around).ok()?;
    if whole.stat != "OK" {
        return None;
    }
    let row = |row: Range<usize>| body.get(row).map(ByteString::from);
    Some(Page {
        rows: list.rows.into_iter().map(row).collect::<Option<_>>()?,
        next_offset: offset(answer, whole.response.metadata.as_ref()).ok()?,
        server_date_ms: answer.date_ms,
    })
}

/// The name of the list that holds a log's rows.
fn rows_of(log: Log) -> &'static str {
    match log {
        Log::Authentication => "authlogs",
        Log::TrustMonitor => "events",
        _ => "items",
    }
}

/// The same of any answer, and what is wrong with it.
fn unusual(log: Log, answer: &Answer) -> Result<Page, DuoError> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow, default, deserialize_with = "present")]
        authlogs: Option<&'a RawValue>,
        #[serde(borrow, default, deserialize_with = "present")]
        items: Option<&'a RawValue>,
        #[serde(borrow, default, deserialize_with = "present")]
        events: Option<&'a RawValue>,
        #[serde(default)]
        metadata: Option<Value>,
    }
    let response = response(answer)?;
    let server_date_ms = answer.date_ms;
    if log.shape() == Shape::FromSecond {
        return Ok(Page {
            rows: texts(list(answer, response, "response")?),
            next_offset: None,
            server_date_ms,
        });
    }
    let body: Body<'_> = match response.get().as_bytes().first() {
        Some(b'{') => serde_json::from_str(response.get()).map_err(|error| malformed(answer, &cause(&error)))?,
        _ => return Err(malformed(answer, "`response` is not an object")),
    };
    let name = format!("response.{}", rows_of(log));
    let rows = match log {
        Log::Authentication => body.authlogs,
        Log::TrustMonitor => body.events,
        _ => body.items,
    };
    let rows = rows.ok_or_else(|| malformed(answer, &format!("`{name}` is missing")))?;
    Ok(Page {
        rows: texts(list(answer, rows, &name)?),
        next_offset: offset(answer, body.metadata.as_ref())?,
        server_date_ms,
    })
}

/// The rows of a list; `null` is an empty one.
pub(crate) fn list(answer: &Answer, rows: &RawValue, name: &str) -> Result<Vec<Box<RawValue>>, DuoError> {
    serde_json::from_str::<Option<Vec<Box<RawValue>>>>(rows.get())
        .map(Option::unwrap_or_default)
        .map_err(|_| malformed(answer, &format!("`{name}` is not a list")))
}

fn texts(rows: Vec<Box<RawValue>>) -> Vec<ByteString> {
    let text = |row: Box<RawValue>| ByteString::from(String::from(Box::<str>::from(row)));
    rows.into_iter().map(text).collect()
}

/// All shapes of `metadata.next_offset`: absent, null, a text, a number, a list of texts and numbers.
fn offset(answer: &Answer, metadata: Option<&Value>) -> Result<Option<Offset>, DuoError> {
    let part = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let text = match metadata.and_then(|metadata| metadata.get("next_offset")) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(parts)) => parts
            .iter()
            .map(part)
            .collect::<Option<Vec<_>>>()
            .map(|parts| parts.join(",")),
        Some(value) => part(value),
    };
    match text {
        Some(text) if text.is_empty() => Ok(None),
        Some(text) => Ok(Some(Offset(text))),
        None => Err(malformed(
            answer,
            "`response.metadata.next_offset` is neither a text, a number nor a list of them",
        )),
    }
}

/// The error that a well-formed refusal names. A refusal that comes with HTTP 200 counts by its own code.
fn refusal(answer: &Answer, envelope: &Envelope<'_>) -> DuoError {
    let at = answer.at.clone();
    let code = match &envelope.code {
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::String(text)) => text.parse().ok(),
        _ => None,
    };
    let code = code.and_then(|code| u32::try_from(code).ok()).unwrap_or(0);
    let words = |value: &Option<Value>| {
        value
            .as_ref()
            .and_then(Value::as_str)
            .map(str::to_owned)
            .unwrap_or_default()
    };
    let mut message = words(&envelope.message);
    let detail = words(&envelope.message_detail);
    if !detail.is_empty() {
        message = format!("{message}: {detail}");
    }
    let message = excerpt(answer, &message);
    let status = match answer.status {
        200..300 => u16::try_from(code / 100).unwrap_or(0),
        status => status,
    };
    match status {
        400 => DuoError::BadRequest { at, code, message },
        401 => DuoError::Unauthorized { at, code, message },
        403 => DuoError::Forbidden { at, code, message },
        404 | 405 => DuoError::NotFound { at, code, message },
        429 => DuoError::RateLimited {
            at,
            retry_after: answer.retry_after,
        },
        500.. => DuoError::Server { at, status, message },
        _ if code == 0 => malformed(
            answer,
            &format!("`stat` is not OK, and there is no error code (HTTP {})", answer.status),
        ),
        _ => DuoError::BadRequest { at, code, message },
    }
}

pub(crate) fn malformed(answer: &Answer, why: &str) -> DuoError {
    DuoError::Malformed {
        at: answer.at.clone(),
        why: why.to_owned(),
    }
}

/// Where the JSON breaks, without any of its content.
fn cause(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        serde_json::error::Category::Eof => "it ends too early",
        serde_json::error::Category::Data => "a value has the wrong type",
        _ => "it is not valid JSON",
    };
    format!("{what} (line {}, column {})", error.line(), error.column())
}

/// The start of a text from outside, on one line and printable.
fn excerpt(answer: &Answer, text: &str) -> String {
    let text = text.replace(answer.secret.expose_secret(), "***");
    let printable = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    printable.take(120).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        let at = "api-x.duosecurity.com/admin/v2/logs/activity".to_owned();
        Answer {
            at,
            status,
            date_ms: Some(5),
            retry_after: None,
            body: body.to_owned(),
            secret: "hunter2".to_owned().into(),
        }
    }

    fn activity(body: &str) -> Result<Page, DuoError> {
        page(Log::Activity, &answer(200, body))
    }

    #[test]
    fn rows_keep_their_own_text() {
        let row = r#"{"ts": "2026-01-01T00:00:00.000001+00:00",  "n": 1e400, "deep": [[[{}]]], "s": "\ud800"}"#;
        let page = activity(&format!(
            r#"{{"stat": "OK", "response": {{"items": [{row}], "metadata": {{}}}}}}"#
        ))
        .unwrap();
        assert_eq!(&*page.rows[0], row);
        assert_eq!(page.server_date_ms, Some(5));
    }

    #[test]
    fn an_odd_row_spoils_no_page() {
        let page = activity(r#"{"stat":"OK","response":{"items":[{"a":1},null,"x",[2],7,{"b":2}]}}"#).unwrap();
        assert_eq!((page.rows.len(), page.odd_rows()), (6, 4));
    }

    #[test]
    fn a_row_that_is_no_json_spoils_no_page_either() {
        let odd = "{\"a\":NaN,\"b\":\"\u{1}\"}";
        let page = activity(&format!(
            r#"{{"stat":"OK","response":{{"items":[{{"a":1}}, {odd}],"metadata":{{"next_offset":"5,x"}}}}}}"#
        ))
        .unwrap();
        assert_eq!((&*page.rows[0], &*page.rows[1]), (r#"{"a":1}"#, odd));
        assert_eq!(page.next_offset, Some(Offset::new("5,x")));
        for broken in [
            r#"{"stat":"OK","response":{"items":[{"a":1}],"metadata":{"next_offset":"5,x"}}"#,
            r#"{"stat":"OK","response":{"items":[{"a":1}],"items":[]}}"#,
            r#"{"stat":"OK","response":{"items":[{"a":1}]}} trailing"#,
        ] {
            assert!(matches!(activity(broken), Err(DuoError::Malformed { .. })), "{broken}");
        }
    }

    #[test]
    fn next_offset_has_many_shapes() {
        for (shape, expected) in [
            (
                r#""metadata":{"next_offset":["1532951895000","af0ba235"]},"#,
                Some("1532951895000,af0ba235"),
            ),
            (
                r#""metadata":{"next_offset":[1532951895000,"af0ba235"]},"#,
                Some("1532951895000,af0ba235"),
            ),
            (
                r#""metadata":{"next_offset":"1666714065304,5bf1"},"#,
                Some("1666714065304,5bf1"),
            ),
            (r#""metadata":{"next_offset":1591014},"#, Some("1591014")),
            (
                r#""metadata":{"next_offset":null,"total_objects":{"relation":"eq","value":3}},"#,
                None,
            ),
            (r#""metadata":{"next_offset":[]},"#, None),
            (r#""metadata":{"next_offset":""},"#, None),
            (r#""metadata":{},"#, None),
            (r#""metadata":null,"#, None),
            ("", None),
        ] {
            let page = activity(&format!(r#"{{"stat":"OK","response":{{{shape}"items":[]}}}}"#)).unwrap();
            assert_eq!(page.next_offset.as_ref().map(Offset::as_str), expected, "{shape}");
        }
        let error = activity(r#"{"stat":"OK","response":{"metadata":{"next_offset":{}},"items":[]}}"#).unwrap_err();
        assert!(matches!(error, DuoError::Malformed { .. }), "{error}");
    }

    #[test]
    fn what_is_not_a_page_says_where() {
        for (body, words) in [
            (r#"{"stat":"OK","response":{"items":[{"a":1},{"b":"#, "ends too early"),
            (r#"{"stat":"OK"}"#, "no `response`"),
            (r#"{"stat":"OK","response":[]}"#, "`response` is not an object"),
            (
                r#"{"stat":"OK","response":{"authlogs":[]}}"#,
                "`response.items` is missing",
            ),
            (
                r#"{"stat":"OK","response":{"items":{}}}"#,
                "`response.items` is not a list",
            ),
            (r#"[1,2]"#, "wrong type"),
            (r#"{"stat":7}"#, "wrong type"),
            (r#"{"response":{"items":[]}}"#, "`stat` is not OK"),
        ] {
            let error = activity(body).unwrap_err();
            assert!(
                matches!(&error, DuoError::Malformed { why, .. } if why.contains(words)),
                "{body}: {error}"
            );
        }
        let error = activity("<html>\u{1b}[31mlogin hunter2</html>").unwrap_err();
        assert!(
            matches!(&error, DuoError::NotJson { start, .. } if start == "<html> [31mlogin ***</html>"),
            "{error}"
        );
    }

    #[test]
    fn the_v1_log_is_a_bare_list() {
        let page = page(
            Log::Administrator,
            &answer(200, r#"{"stat":"OK","response":[{"timestamp":1}]}"#),
        )
        .unwrap();
        assert_eq!(page.rows.len(), 1);
        assert!(super::page(Log::Administrator, &answer(200, r#"{"stat":"OK","response":{}}"#)).is_err());
    }

    #[test]
    fn refusals_have_a_type_and_say_what_to_do() {
        let fail = |code: u32| format!(r#"{{"stat":"FAIL","code":{code},"message":"M","message_detail":"D"}}"#);
        for (status, code, words) in [
            (400, 40002, "M: D"),
            (401, 40102, "integration_key"),
            (401, 40103, "secret_key"),
            (401, 40105, "clock"),
            (403, 40301, "Grant read log"),
            (404, 40401, "api_hostname"),
            (429, 42901, "rate limit"),
            (500, 50001, "status.duo.com"),
            (200, 40301, "Grant read log"),
            (200, 50000, "status.duo.com"),
        ] {
            let error = page(Log::Activity, &answer(status, &fail(code))).unwrap_err();
            assert!(error.to_string().contains(words), "{status} {code}: {error}");
            assert_eq!(
                error.is_configuration(),
                matches!(code / 100, 401 | 403 | 404),
                "{error}"
            );
        }
        let text_code = r#"{"stat":"FAIL","code":"40301","message":"Access forbidden"}"#;
        assert!(matches!(
            page(Log::Activity, &answer(403, text_code)),
            Err(DuoError::Forbidden { code: 40301, .. })
        ));
    }

    #[test]
    fn gateways_answer_in_html() {
        let html = "<html><h1>502 Bad Gateway</h1></html>";
        assert!(matches!(
            page(Log::Activity, &answer(502, html)),
            Err(DuoError::Server { status: 502, .. })
        ));
        assert!(matches!(
            page(Log::Activity, &answer(429, html)),
            Err(DuoError::RateLimited { .. })
        ));
        assert!(matches!(
            page(Log::Activity, &answer(403, html)),
            Err(DuoError::NotJson { status: 403, .. })
        ));
        assert!(matches!(
            page(Log::Activity, &answer(302, "")),
            Err(DuoError::Redirected { status: 302, .. })
        ));
    }
}
