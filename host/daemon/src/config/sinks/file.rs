//! A sink as an operator writes it.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::{Location, Spanned};

/// One of `sinks`, as an operator writes it. Which keys there are is a matter of its type.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct SinkFile {
    #[serde(rename = "type")]
    pub(super) kind: Spanned<String>,
    pub(super) name: Option<Spanned<String>>,
    pub(super) tenants: Option<Spanned<Value>>,
    pub(super) min_severity: Option<Spanned<String>>,
    pub(super) history: Option<Spanned<bool>>,
    pub(super) events: Option<Spanned<Value>>,
    pub(super) format: Option<Spanned<String>>,
    pub(super) path: Option<Spanned<PathBuf>>,
    pub(super) max_bytes: Option<Spanned<u64>>,
    pub(super) keep: Option<Spanned<u32>>,
    pub(super) url: Option<Spanned<String>>,
    pub(super) secret: Option<Spanned<String>>,
    pub(super) secret_file: Option<Spanned<PathBuf>>,
    pub(super) previous_secret: Option<Spanned<String>>,
    pub(super) previous_secret_file: Option<Spanned<PathBuf>>,
    pub(super) proxy: Option<Spanned<String>>,
    pub(super) timeout: Option<Spanned<String>>,
    pub(super) ca_file: Option<Spanned<PathBuf>>,
    pub(super) address: Option<Spanned<String>>,
    pub(super) transport: Option<Spanned<String>>,
    pub(super) framing: Option<Spanned<String>>,
    pub(super) facility: Option<Spanned<u8>>,
    pub(super) hostname: Option<Spanned<String>>,
    pub(super) client_cert_file: Option<Spanned<PathBuf>>,
    pub(super) client_key_file: Option<Spanned<PathBuf>>,
    pub(super) server_name: Option<Spanned<String>>,
}

impl SinkFile {
    /// Keys that not every type has, and where they stand.
    pub(super) fn given(&self) -> Vec<(&'static str, Location)> {
        fn at<T>(value: Option<&Spanned<T>>) -> Option<Location> {
            value.map(|value| value.referenced)
        }
        let keys = [
            ("format", at(self.format.as_ref())),
            ("path", at(self.path.as_ref())),
            ("max_bytes", at(self.max_bytes.as_ref())),
            ("keep", at(self.keep.as_ref())),
            ("url", at(self.url.as_ref())),
            ("secret", at(self.secret.as_ref())),
            ("secret_file", at(self.secret_file.as_ref())),
            ("previous_secret", at(self.previous_secret.as_ref())),
            ("previous_secret_file", at(self.previous_secret_file.as_ref())),
            ("proxy", at(self.proxy.as_ref())),
            ("timeout", at(self.timeout.as_ref())),
            ("ca_file", at(self.ca_file.as_ref())),
            ("address", at(self.address.as_ref())),
            ("transport", at(self.transport.as_ref())),
            ("framing", at(self.framing.as_ref())),
            ("facility", at(self.facility.as_ref())),
            ("hostname", at(self.hostname.as_ref())),
            ("client_cert_file", at(self.client_cert_file.as_ref())),
            ("client_key_file", at(self.client_key_file.as_ref())),
            ("server_name", at(self.server_name.as_ref())),
        ];
        keys.into_iter()
            .filter_map(|(key, location)| Some((key, location?)))
            .collect()
    }
}
