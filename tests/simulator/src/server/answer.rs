//! Requests and replies as plain data, so that everything behind the wire is a function that can be tested without it.

use std::net::IpAddr;

use crate::json;

/// What arrived.
#[derive(Debug, Clone)]
pub struct Request {
    /// The verb.
    pub method: String,
    /// The path, as sent.
    pub path: String,
    /// The query, as sent, without the `?`.
    pub query: String,
    /// Headers in the order sent: lower-case name, value.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Who asks.
    pub peer: IpAddr,
}

impl Request {
    /// The first header of that lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// How a reply is put on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// At once.
    Plain,
    /// The body trickles over that many milliseconds.
    Slow(u64),
    /// The head promises the whole body; the connection ends half-way through it.
    Cut,
    /// Nothing: the connection is reset.
    Reset,
}

/// Whether a body is compressed, for clients that accept it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Gzip {
    /// As it is.
    #[default]
    Not,
    /// Compressed.
    Whole,
    /// The first half of the compressed bytes, correctly framed.
    Half,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// `application/json`, or `text/html` for a gateway's page.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
    /// How it is sent.
    pub manner: Manner,
    /// Whether it is compressed.
    pub gzip: Gzip,
    /// What the `Retry-After` header says, if there is one.
    pub retry_after_s: Option<u64>,
}

impl Reply {
    /// 200 with `{"response": …, "stat": "OK"}`, the response given as JSON text.
    #[must_use]
    pub fn ok(response: &str) -> Self {
        Self::json(200, format!("{{\"response\": {response}, \"stat\": \"OK\"}}"))
    }

    /// A JSON text.
    #[must_use]
    pub fn json(status: u16, body: String) -> Self {
        Self {
            status,
            content_type: "application/json",
            body,
            manner: Manner::Plain,
            gzip: Gzip::Not,
            retry_after_s: None,
        }
    }

    /// 200 with a page of objects and its metadata beside it, both given as JSON text.
    #[must_use]
    pub fn page(response: &str, metadata: &str) -> Self {
        let body = format!("{{\"metadata\": {metadata}, \"response\": {response}, \"stat\": \"OK\"}}");
        Self::json(200, body)
    }

    /// `"stat": "FAIL"` with a status that need not be the error's own.
    #[must_use]
    pub fn failure(status: u16, error: ApiError, detail: Option<&str>) -> Self {
        let message = json::dumps_str(&error.to_string());
        let detail = detail.map_or(String::new(), |detail| {
            format!(", \"message_detail\": {}", json::dumps_str(detail))
        });
        let code = error.code();
        let body = format!("{{\"code\": {code}, \"message\": {message}{detail}, \"stat\": \"FAIL\"}}");
        Self::json(status, body)
    }

    /// What a hotel's network says in Duo's place: 200, and a page to log in at.
    #[must_use]
    pub fn portal() -> Self {
        let body = "<!DOCTYPE html>\r\n<html><head><title>Welcome to Guest WiFi</title></head>\r\n<body><form \
                    action=\"/login\">Please accept our terms.</form></body></html>\r\n";
        Self {
            content_type: "text/html",
            ..Self::json(200, body.to_owned())
        }
    }

    /// What a gateway in front of Duo says when Duo is not there.
    #[must_use]
    pub fn bad_gateway() -> Self {
        let body = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad \
                    Gateway</h1></center>\r\n</body>\r\n</html>\r\n";
        Self {
            content_type: "text/html",
            ..Self::json(502, body.to_owned())
        }
    }
}

/// Duo's errors, as far as a log collector can meet them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// A v2 log without `mintime` or `maxtime`.
    #[error("Missing required request parameters")]
    MissingParameters,
    /// A parameter that cannot be used; the detail is its name or a sentence.
    #[error("Invalid request parameters")]
    InvalidParameters(&'static str),
    /// No `Authorization` header.
    #[error("Missing request credentials")]
    MissingCredentials,
    /// An integration key that no account has.
    #[error("Invalid integration key in request credentials")]
    InvalidIkey,
    /// The signature is not that of this request under this account's key.
    #[error("Invalid signature in request credentials")]
    InvalidSignature,
    /// Neither `X-Duo-Date` nor `Date`.
    #[error("Missing request timestamp")]
    MissingDate,
    /// A date that cannot be read or is too far off.
    #[error("Bad request timestamp")]
    BadDate,
    /// The account's key may not do this.
    #[error("Access forbidden")]
    Forbidden,
    /// The key belongs to an application of another kind.
    #[error("Access forbidden")]
    WrongType,
    /// No such path.
    #[error("Resource not found")]
    NotFound,
    /// The path exists, but not for this verb.
    #[error("Method not allowed")]
    MethodNotAllowed,
    /// Asked too often.
    #[error("Too Many Requests")]
    TooManyRequests,
    /// Duo's own trouble.
    #[error("Unknown internal server error")]
    Internal,
}

impl ApiError {
    /// Duo's five-digit code; its first three digits are the HTTP status.
    #[must_use]
    pub fn code(self) -> u32 {
        match self {
            Self::MissingParameters => 40001,
            Self::InvalidParameters(_) => 40002,
            Self::MissingCredentials => 40101,
            Self::InvalidIkey => 40102,
            Self::InvalidSignature => 40103,
            Self::MissingDate => 40104,
            Self::BadDate => 40105,
            Self::Forbidden | Self::WrongType => 40301,
            Self::NotFound => 40401,
            Self::MethodNotAllowed => 40501,
            Self::TooManyRequests => 42901,
            Self::Internal => 50001,
        }
    }
}

impl From<ApiError> for Reply {
    fn from(error: ApiError) -> Self {
        let detail = match error {
            ApiError::InvalidParameters(detail) => Some(detail),
            ApiError::WrongType => Some("Wrong integration type for this API."),
            _ => None,
        };
        Self::failure(u16::try_from(error.code() / 100).unwrap_or(500), error, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_bodies_are_those_captured_from_duo() {
        let body = |error: ApiError| Reply::from(error).body;
        assert_eq!(
            body(ApiError::InvalidIkey),
            r#"{"code": 40102, "message": "Invalid integration key in request credentials", "stat": "FAIL"}"#
        );
        assert_eq!(body(ApiError::InvalidIkey).len(), 92, "the captured Content-Length");
        let detail = body(ApiError::InvalidParameters("no capable device"));
        assert_eq!(
            detail,
            r#"{"code": 40002, "message": "Invalid request parameters", "message_detail": "no capable device", "stat": "FAIL"}"#
        );
        assert_eq!(detail.len(), 111, "the captured Content-Length");
        assert_eq!(
            body(ApiError::TooManyRequests),
            r#"{"code": 42901, "message": "Too Many Requests", "stat": "FAIL"}"#
        );
        assert_eq!(
            body(ApiError::Internal),
            r#"{"code": 50001, "message": "Unknown internal server error", "stat": "FAIL"}"#
        );
        assert_eq!(Reply::from(ApiError::NotFound).status, 404);
    }
}
