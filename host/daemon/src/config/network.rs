//! The way to Duo: host, proxy, CA, patience.

use std::path::PathBuf;

use serde_saphyr::Location;

use super::file::SourceFile;
use super::tenant::Checker;
use super::{Problem, SecretSource, secret};

/// How Duo is reached. Accounts with an equal one share connections.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    /// A CA to trust besides the system's, PEM.
    pub(crate) ca_file: Option<PathBuf>,
    /// `http://`, `https://`, `socks5://` or `socks5h://`, host and port, perhaps with a user and a password; or the variable
    /// that holds it.
    pub(crate) proxy: Option<SecretSource>,
    /// `user:password` for the proxy.
    pub(crate) proxy_credentials: Option<SecretSource>,
    /// For the whole of one request, ms.
    pub(crate) timeout: i64,
}

const SCHEMES: [&str; 4] = ["http://", "https://", "socks5://", "socks5h://"];
const PROXY_HINT: &str = "a proxy looks like http://proxy.example.com:3128; https://, socks5:// (names resolved here) and \
                          socks5h:// (names resolved by the proxy) work too";

impl Network {
    /// The proxy with user and password in it, as a URL.
    ///
    /// # Errors
    /// What cannot be read, or is not a proxy; never its text.
    pub(crate) fn proxy_url(&self) -> Result<Option<secrecy::SecretString>, String> {
        use secrecy::ExposeSecret as _;
        let Some(proxy) = &self.proxy else { return Ok(None) };
        let url = proxy.read().map_err(|why| format!("proxy: {why}"))?;
        let Some((scheme, rest)) = split(url.expose_secret()) else {
            return Err(format!(
                "proxy: what {} holds is not a proxy; {PROXY_HINT}",
                proxy.place()
            ));
        };
        let Some(credentials) = &self.proxy_credentials else {
            return Ok(Some(url));
        };
        let credentials = credentials.read().map_err(|why| format!("proxy_credentials: {why}"))?;
        let Some((user, password)) = credentials.expose_secret().split_once(':') else {
            return Err("proxy_credentials: write user:password".to_owned());
        };
        let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        Ok(Some(
            format!("{scheme}{}:{}@{rest}", encoded(user), encoded(password)).into(),
        ))
    }
}

/// Scheme and the rest, if it is a proxy's URL.
fn split(url: &str) -> Option<(&'static str, &str)> {
    SCHEMES
        .into_iter()
        .find_map(|scheme| Some((scheme, url.strip_prefix(scheme)?)))
        .filter(|(_, rest)| {
            let host = rest.rsplit_once('@').map_or(*rest, |(_, host)| host);
            !host.trim_end_matches('/').is_empty() && !host.contains(char::is_whitespace)
        })
}

/// Percent-encoded: a password may hold `@`, `/` and `:`.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    text.bytes().map(byte).collect()
}

impl Checker<'_> {
    pub(super) fn network(
        &self,
        source: &SourceFile,
        problems: &mut Vec<Problem>,
        warnings: &mut Vec<Problem>,
    ) -> Option<Network> {
        let before = problems.len();
        let proxy = source.proxy.as_ref().map(|proxy| {
            let held = SecretSource::from_text(proxy.value.trim());
            if secret::variable(&proxy.value).is_none() && split(proxy.value.trim()).is_none() {
                // Not shown: it may hold a password.
                let problem = self.problem(proxy.referenced, "`proxy` is not a proxy's address");
                problems.push(problem.hint(PROXY_HINT));
            }
            if proxy.value.contains('@') {
                self.readable_by_others(&held, proxy.referenced, warnings);
            }
            held
        });
        let inline = source.proxy_credentials.as_ref();
        let inline = inline.map(|text| (SecretSource::from_text(&text.value), text.referenced));
        let file = source.proxy_credentials_file.as_ref();
        let file = file.map(|path| (SecretSource::File(self.file(&path.value)), path.referenced));
        let mut given = [inline, file].into_iter().flatten();
        let credentials = given.next();
        if let Some((secret, location)) = &credentials {
            self.readable_by_others(secret, *location, warnings);
            if source.proxy.is_none() {
                let problem = self.problem(*location, "credentials for a proxy, and no `proxy`");
                problems.push(problem.hint(PROXY_HINT));
            }
        }
        if let Some((_, location)) = given.next() {
            let problem = self.problem(location, "the proxy has credentials twice");
            problems.push(problem.hint("keep one of proxy_credentials and proxy_credentials_file"));
        }
        let timeout = self.span(source.timeout.as_ref(), "60s", problems);
        if !(1_000..=600_000).contains(&timeout) {
            let at = source
                .timeout
                .as_ref()
                .map_or(Location::UNKNOWN, |span| span.referenced);
            let problem = self.problem(at, "`timeout` is out of range");
            problems.push(problem.hint("1s to 10m, for the whole of one request; leave it out for 60s"));
        }
        (problems.len() == before).then(|| Network {
            ca_file: source.ca_file.as_ref().map(|path| self.file(&path.value)),
            proxy,
            proxy_credentials: credentials.map(|(secret, _)| secret),
            timeout,
        })
    }
}

/// True where the host, with or without a port, is this machine: only then may it be polled faster.
pub(super) fn is_loopback(host: &str) -> bool {
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.rsplit_once(':').map_or(host, |(bare, _)| bare),
    };
    bare == "localhost"
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

pub(super) fn wrong_hostname(host: &str) -> Option<&'static str> {
    if host.starts_with("http://") || host.starts_with("https://") || host.contains('/') {
        return Some("write the host alone, without https:// and path: api-XXXXXXXX.duosecurity.com");
    }
    if host.starts_with("admin-") {
        return Some(
            "this is the Admin Panel's host; the API's begins with api-: see the Admin API application's page",
        );
    }
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte);
    (host.is_empty() || !host.bytes().all(good))
        .then_some("copy the API hostname from the Admin API application's page: api-XXXXXXXX.duosecurity.com")
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    #[test]
    fn only_this_machine_may_be_polled_fast() {
        for host in ["127.0.0.1:8443", "localhost:1", "localhost", "[::1]:8443", "127.1.2.3"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "api-1.duosecurity.com",
            "10.0.0.1:443",
            "localhost.evil.example",
            "127.0.0.1.evil.example:1",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn a_proxys_password_may_hold_anything() {
        let network = |proxy: &str, credentials: Option<&str>| Network {
            ca_file: None,
            proxy: Some(SecretSource::from_text(proxy)),
            proxy_credentials: credentials.map(SecretSource::from_text),
            timeout: 60_000,
        };
        let url = |network: Network| {
            let url = network.proxy_url();
            url.map(|url| url.unwrap().expose_secret().to_owned())
        };
        assert_eq!(
            url(network("socks5h://old:one@proxy:1080", Some("ada:p@ss/w:rd"))).unwrap(),
            "socks5h://ada:p%40ss%2Fw%3Ard@proxy:1080"
        );
        assert_eq!(url(network("http://proxy:3128", None)).unwrap(), "http://proxy:3128");
        let error = url(network("ftp://ada:hush@proxy", None)).unwrap_err();
        assert!(!error.contains("hush") && error.contains("socks5h://"), "{error}");
        assert!(
            url(network("http://proxy", Some("hush")))
                .unwrap_err()
                .contains("user:password")
        );
    }
}
