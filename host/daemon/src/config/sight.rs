//! `http:` and `metrics:`: where figures and readiness are served, and what they are told apart by.

use std::net::{Ipv4Addr, SocketAddr};

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::Problem;
use super::tenant::Checker;

/// Where `/metrics`, `/livez` and `/readyz` are unless told otherwise.
const DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9743);

/// Where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Http {
    /// None: nowhere.
    pub(crate) listen: Option<SocketAddr>,
    /// The configuration says so.
    pub(crate) stated: bool,
}

/// The section as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HttpFile {
    listen: Option<Spanned<String>>,
}

/// `metrics:` as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct MetricsFile {
    /// Whether figures are told apart by tenant. Off, a thousand tenants are one sum.
    pub(super) tenant_label: bool,
}

impl Default for MetricsFile {
    fn default() -> Self {
        MetricsFile { tenant_label: true }
    }
}

impl Checker<'_> {
    /// The section, checked.
    pub(super) fn http(&self, file: &HttpFile, problems: &mut Vec<Problem>) -> Http {
        let Some(given) = &file.listen else {
            return Http {
                listen: Some(DEFAULT),
                stated: false,
            };
        };
        let text = given.value.trim();
        if text == "off" {
            return Http {
                listen: None,
                stated: true,
            };
        }
        let listen = text.parse::<SocketAddr>().ok();
        if listen.is_none() {
            let what = format!("http: listen is `{text}`, which is no address with a port");
            problems.push(
                self.problem(given.referenced, what)
                    .hint("write 127.0.0.1:9743, \"[::1]:9743\", or \"off\""),
            );
        }
        Http { listen, stated: true }
    }
}
