//! Signing: the canonical form of a request, and its HMAC.
//!
//! The version of a signature is not sent; Duo infers it from the digest's length. Version 5 with HMAC-SHA-512 works on
//! every endpoint and is what [`crate::Client`] uses unless told otherwise. The older forms are here because a server has to
//! recognise them: version 2 is what most other collectors send (some with SHA-1), 1 and 4 what old clients sent.

use base64::Engine as _;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha1::Sha1;
use sha2::{Digest, Sha512};

/// How a request is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scheme {
    /// Version 1: no date, HMAC-SHA-1. Only to recognise it.
    V1,
    /// Version 2 with HMAC-SHA-1: legacy.
    V2Sha1,
    /// Version 2 with HMAC-SHA-512.
    V2,
    /// Version 4: like 5 without the headers. Only to recognise it.
    V4,
    /// Version 5 with HMAC-SHA-512.
    #[default]
    V5,
}

/// Everything of a request that a signature may cover.
#[derive(Debug, Clone, Copy)]
pub struct Signable<'a> {
    /// The date header's exact text.
    pub date: &'a str,
    /// Upper or lower case.
    pub method: &'a str,
    /// Without a port, upper or lower case.
    pub host: &'a str,
    /// As sent.
    pub path: &'a str,
    /// What travels in the query (or, in versions 1 and 2, in a form), in any order, keys may repeat.
    pub params: &'a [(String, String)],
    /// The body as sent; empty without one.
    pub body: &'a str,
    /// Further headers; those whose name starts with `x-duo-` are signed by version 5.
    pub headers: &'a [(String, String)],
}

impl Signable<'_> {
    /// The text that is signed: lines joined by `\n`, none at the end.
    #[must_use]
    pub fn canonical(&self, scheme: Scheme) -> String {
        let mut lines: Vec<String> = Vec::with_capacity(7);
        if scheme != Scheme::V1 {
            lines.push(self.date.to_owned());
        }
        lines.push(self.method.to_ascii_uppercase());
        lines.push(self.host.to_ascii_lowercase());
        lines.push(self.path.to_owned());
        lines.push(canonical_params(self.params));
        if matches!(scheme, Scheme::V4 | Scheme::V5) {
            lines.push(hex(&Sha512::digest(self.body.as_bytes())));
        }
        if scheme == Scheme::V5 {
            lines.push(hex(&Sha512::digest(self.header_line().as_bytes())));
        }
        lines.join("\n")
    }

    /// The `Authorization` header.
    #[must_use]
    pub fn authorization(&self, scheme: Scheme, ikey: &str, skey: &SecretString) -> String {
        let signature = signature(scheme, skey, &self.canonical(scheme));
        let credentials = base64::engine::general_purpose::STANDARD.encode(format!("{ikey}:{signature}"));
        format!("Basic {credentials}")
    }

    fn header_line(&self) -> String {
        let names = self
            .headers
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()));
        let mut signed: Vec<_> = names.filter(|(name, _)| name.starts_with("x-duo-")).collect();
        signed.sort();
        let parts: Vec<String> = signed
            .into_iter()
            .map(|(name, value)| format!("{name}\0{value}"))
            .collect();
        parts.join("\0")
    }
}

/// The HMAC of a canonical text, lower-case hexadecimal.
#[must_use]
pub fn signature(scheme: Scheme, skey: &SecretString, canonical: &str) -> String {
    let key = skey.expose_secret().as_bytes();
    match scheme {
        Scheme::V1 | Scheme::V2Sha1 => mac::<Hmac<Sha1>>(key, canonical),
        Scheme::V2 | Scheme::V4 | Scheme::V5 => mac::<Hmac<Sha512>>(key, canonical),
    }
}

fn mac<M: Mac + KeyInit>(key: &[u8], text: &str) -> String {
    // An HMAC takes a key of any length; were it ever refused, an empty signature is refused by Duo in turn.
    <M as KeyInit>::new_from_slice(key).map_or_else(
        |_| String::new(),
        |mac| hex(&mac.chain_update(text).finalize().into_bytes()),
    )
}

/// Parameters in canonical form: encoded, sorted by encoded key and then by encoded value, joined. It is also a valid
/// query, and the one the client sends, so that there is one spelling only.
#[must_use]
pub fn canonical_params(params: &[(String, String)]) -> String {
    let mut pairs: Vec<(String, String)> = params.iter().map(|(key, value)| (encode(key), encode(value))).collect();
    pairs.sort();
    let joined: Vec<String> = pairs.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    joined.join("&")
}

/// Percent-encodes all but the unreserved characters of RFC 3986, in upper-case hexadecimal.
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
