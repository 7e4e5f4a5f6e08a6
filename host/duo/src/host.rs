//! The API host: what to connect to, and what to sign.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An API host name, with or without a port. Lower case; what is signed has no port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Host {
    name: String,
    port: Option<u16>,
}

/// Why a text is no API host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "api_hostname {given:?}: {why}; it looks like api-XXXXXXXX.duosecurity.com (Admin Panel, Applications, Admin API)"
)]
pub struct HostError {
    /// What was given.
    pub given: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Host {
    /// What is signed: lower case, no port.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// This machine itself: a simulator, not Duo. Limits that protect Duo may be relaxed.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let bare = self.name.trim_start_matches('[').trim_end_matches(']');
        bare == "localhost"
            || bare.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
            || bare.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(given: &str) -> Result<Self, HostError> {
        let wrong = |why| HostError {
            given: given.to_owned(),
            why,
        };
        let text = given.trim().to_ascii_lowercase();
        if text.is_empty() {
            return Err(wrong("it is empty"));
        }
        if text.contains("://") {
            return Err(wrong("it must be the host name alone, without https://"));
        }
        if text.contains(['/', '?', '#', '@', ' ']) {
            return Err(wrong("it must be the host name alone, without a path"));
        }
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (
                name,
                Some(
                    port.parse()
                        .map_err(|_| wrong("what follows the colon is not a port"))?,
                ),
            ),
            _ => (text.as_str(), None),
        };
        let plain = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
        let bracketed = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if name.is_empty() || !(plain || bracketed.is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok())) {
            return Err(wrong("it is not a host name"));
        }
        Ok(Host {
            name: name.to_owned(),
            port,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signed_name_is_lower_case_and_has_no_port() {
        let host: Host = "API-1111AAAA.duosecurity.com:8443".parse().unwrap();
        assert_eq!(host.name(), "api-1111aaaa.duosecurity.com");
        assert_eq!(host.to_string(), "api-1111aaaa.duosecurity.com:8443");
        assert!(!host.is_loopback());
    }

    #[test]
    fn this_machine_is_recognised_in_every_spelling() {
        for text in ["127.0.0.1:40441", "localhost", "LOCALHOST:1", "[::1]:8443", "127.9.9.9"] {
            assert!(text.parse::<Host>().unwrap().is_loopback(), "{text}");
        }
        for text in [
            "localhost.example.com",
            "128.0.0.1",
            "[::2]:8443",
            "api-00000000.duosecurity.com",
        ] {
            assert!(!text.parse::<Host>().unwrap().is_loopback(), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_host_is_refused_with_the_right_form() {
        for text in [
            "",
            "https://api-x.duosecurity.com",
            "api-x.duosecurity.com/",
            "a b",
            "host:port",
            "::1",
            "u@h",
        ] {
            let error = text.parse::<Host>().unwrap_err().to_string();
            assert!(error.contains("api-XXXXXXXX.duosecurity.com"), "{error}");
        }
    }
}
