//! Checking a request's signature, as Duo's side does it.
//!
//! The signed text is **rebuilt** from what arrived: the query is decoded (`+` is a space), encoded anew by the
//! signing rules and sorted. Clients encode the wire otherwise than the text they sign, so raw strings never match.
//! The version is not sent: 128 hex digits are HMAC-SHA-512 (v5, then v2), 40 are HMAC-SHA-1 (v2). v1 signs no date and
//! v4 is met nowhere in the field; both are refused.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha512};

/// A way of signing that the simulator understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
pub enum Form {
    /// Version 5, HMAC-SHA-512: what today's clients send.
    #[serde(rename = "v5")]
    V5,
    /// Version 2, HMAC-SHA-512.
    #[serde(rename = "v2-sha512")]
    V2Sha512,
    /// Version 2, HMAC-SHA-1: old, and still sent by many collectors.
    #[serde(rename = "v2-sha1")]
    V2Sha1,
}

impl Form {
    /// Every form, newest first.
    pub const ALL: [Self; 3] = [Self::V5, Self::V2Sha512, Self::V2Sha1];
}

/// The parts of a request that are signed.
#[derive(Debug, Clone, Default)]
pub struct Signed {
    /// `x-duo-date`, else `date`, exactly as sent.
    pub date: String,
    /// The verb, in any case.
    pub method: String,
    /// The `host` header; a port is cut off.
    pub host: String,
    /// The path, as sent.
    pub path: String,
    /// What stands behind the `?`, as sent, without it.
    pub query: String,
    /// The body's bytes.
    pub body: Vec<u8>,
    /// All headers whose lower-cased name begins with `x-duo-`: name and value.
    pub x_duo: Vec<(String, String)>,
}

/// The integration key and the hex digest out of an `Authorization: Basic` header.
#[must_use]
pub fn credentials(authorization: &str) -> Option<(String, String)> {
    let (scheme, packed) = authorization.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = STANDARD.decode(packed.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (ikey, digest) = text.split_once(':')?;
    Some((ikey.to_owned(), digest.to_owned()))
}

/// The form in which the digest signs the request under this key, if it does in one of those accepted.
#[must_use]
pub fn verify(signed: &Signed, skey: &str, digest_hex: &str, accepted: &BTreeSet<Form>) -> Option<Form> {
    let digest = unhex(digest_hex)?;
    accepted.iter().copied().find(|form| match form {
        Form::V5 => digest.len() == 64 && hmac_sha512(skey, &canonical_v5(signed), &digest),
        Form::V2Sha512 => digest.len() == 64 && hmac_sha512(skey, &canonical_v2(signed), &digest),
        Form::V2Sha1 => digest.len() == 20 && hmac_sha1(skey, &canonical_v2(signed), &digest),
    })
}

// `verify_slice` compares in constant time.
fn hmac_sha512(skey: &str, text: &str, digest: &[u8]) -> bool {
    Hmac::<Sha512>::new_from_slice(skey.as_bytes())
        .is_ok_and(|mac| mac.chain_update(text.as_bytes()).verify_slice(digest).is_ok())
}

fn hmac_sha1(skey: &str, text: &str, digest: &[u8]) -> bool {
    Hmac::<Sha1>::new_from_slice(skey.as_bytes())
        .is_ok_and(|mac| mac.chain_update(text.as_bytes()).verify_slice(digest).is_ok())
}

fn canonical_v2(signed: &Signed) -> String {
    let mut parameters = pairs(signed.query.as_bytes());
    if carries_body(&signed.method) {
        parameters.extend(pairs(&signed.body));
    }
    [
        signed.date.clone(),
        signed.method.to_ascii_uppercase(),
        bare_host(&signed.host),
        signed.path.clone(),
        canonical_parameters(parameters),
    ]
    .join("\n")
}

fn canonical_v5(signed: &Signed) -> String {
    let body: &[u8] = if carries_body(&signed.method) {
        &signed.body
    } else {
        b""
    };
    [
        signed.date.clone(),
        signed.method.to_ascii_uppercase(),
        bare_host(&signed.host),
        signed.path.clone(),
        canonical_parameters(pairs(signed.query.as_bytes())),
        hex(&Sha512::digest(body)),
        hex(&Sha512::digest(canonical_headers(&signed.x_duo).as_bytes())),
    ]
    .join("\n")
}

fn carries_body(method: &str) -> bool {
    ["POST", "PUT", "PATCH"]
        .iter()
        .any(|verb| method.eq_ignore_ascii_case(verb))
}

/// The host in lower case, without a port.
fn bare_host(host: &str) -> String {
    let bare = if host.starts_with('[') {
        host.split_inclusive(']').next()
    } else {
        host.split(':').next()
    };
    bare.unwrap_or_default().to_ascii_lowercase()
}

/// The decoded parameters of a query or form body, in the order sent.
#[must_use]
pub fn pairs(query: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(query).into_owned().collect()
}

fn canonical_parameters(parameters: Vec<(String, String)>) -> String {
    // Sorted as pairs of encoded texts, not as `key=value`: `a=7` comes before `a-b=6`.
    let mut encoded: Vec<(String, String)> = parameters
        .into_iter()
        .map(|(key, value)| (encode(&key), encode(&value)))
        .collect();
    encoded.sort();
    encoded
        .into_iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect::<Vec<_>>()
        .join("&")
}

fn canonical_headers(x_duo: &[(String, String)]) -> String {
    let mut headers: Vec<(String, &str)> = x_duo
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()))
        .collect();
    headers.sort();
    headers
        .into_iter()
        .map(|(name, value)| format!("{name}\0{value}"))
        .collect::<Vec<_>>()
        .join("\0")
}

fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => {
                out.push('%');
                out.push(char::from(hex_digit(byte >> 4).to_ascii_uppercase()));
                out.push(char::from(hex_digit(byte & 15).to_ascii_uppercase()));
            }
        }
    }
    out
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [hex_digit(byte >> 4), hex_digit(byte & 15)])
        .map(char::from)
        .collect()
}

fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let nibble = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (digits, odd) = text.as_bytes().as_chunks::<2>();
    if !odd.is_empty() {
        return None;
    }
    digits
        .iter()
        .map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_ikey_and_digest() {
        let header = format!("Basic {}", STANDARD.encode("DIKEY:00ff"));
        assert_eq!(credentials(&header), Some(("DIKEY".into(), "00ff".into())));
        assert_eq!(credentials("Bearer abc"), None);
        assert_eq!(credentials("Basic !!!"), None);
    }

    #[test]
    fn the_host_loses_its_port_and_its_capitals() {
        assert_eq!(bare_host("API-1.Example.com:8443"), "api-1.example.com");
        assert_eq!(bare_host("[::1]:8443"), "[::1]");
    }

    #[test]
    fn parameters_sort_by_encoded_key_then_value() {
        let query = b"foo_bar=2&foo=1&a-b=6&a=7&a=%2B&w=x+y&empty=";
        assert_eq!(
            canonical_parameters(pairs(query)),
            "a=%2B&a=7&a-b=6&empty=&foo=1&foo_bar=2&w=x%20y"
        );
    }
}
