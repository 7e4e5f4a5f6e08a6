//! IP addresses as Duo and the systems before it spell them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::normal::NullWords;

/// The address in its canonical spelling, without port, brackets or zone; IPv4 inside IPv6 as IPv4.
///
/// `1.2.3.4:1234`, `[2001:db8::1]:1234`, `2001:db8::1#1234`, `...p1234`, `... port 1234`, `....1234` lose their port.
/// `2001:db8::1:1234` is ambiguous: it reads as an address as it stands and is taken as one; only a ninth group is a port.
/// None: it is no address, or the unspecified one (`0.0.0.0`, `::`), which is Duo's way to say that it does not know.
#[must_use]
pub fn canonical_address(text: &str) -> Option<String> {
    parse(text).map(|address| address.to_string())
}

/// Whether a text is the canonical spelling of an IPv4 address, as most are. An address has no other that std reads.
pub(crate) fn is_canonical_ipv4(text: &str) -> bool {
    text.parse::<Ipv4Addr>().is_ok_and(|address| !address.is_unspecified())
}

/// The address's network: /24 of IPv4, /48 of IPv6.
#[must_use]
pub fn network(text: &str) -> Option<String> {
    Some(match parse(text)? {
        IpAddr::V4(address) => format!("{}/24", Ipv4Addr::from_bits(address.to_bits() & !0xff)),
        IpAddr::V6(address) => format!("{}/48", Ipv6Addr::from_bits(address.to_bits() & !(u128::MAX >> 48))),
    })
}

/// The host name that stands where an address should, without port. None: it is an address, or neither.
pub(crate) fn host_name(text: &str) -> Option<String> {
    let text = text.trim();
    let name = match text.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => text,
    };
    let means_nothing = NullWords::Unknown.holds(name) || name.eq_ignore_ascii_case("none");
    let is_name = !means_nothing
        && parse(text).is_none()
        && name.len() <= 253
        && name.bytes().any(|byte| byte.is_ascii_alphabetic())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    is_name.then(|| name.to_owned())
}

fn parse(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let address = plain(text).or_else(|| plain(without_port(text)?))?.to_canonical();
    (!address.is_unspecified()).then_some(address)
}

fn plain(text: &str) -> Option<IpAddr> {
    let text = text.split_once('%').map_or(text, |(address, _zone)| address);
    text.trim().parse().ok()
}

fn without_port(text: &str) -> Option<&str> {
    if let Some(rest) = text.strip_prefix('[') {
        return Some(rest.split_once(']')?.0);
    }
    let digits = text.trim_end_matches(|char: char| char.is_ascii_digit());
    if digits.len() == text.len() {
        return None;
    }
    let digits = digits.trim_end();
    [" port", ":", "#", "p", "."]
        .iter()
        .find_map(|separator| digits.strip_suffix(separator))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        for (text, canonical) in [
            ("1.2.3.4", Some("1.2.3.4")),
            (" 1.2.3.4 ", Some("1.2.3.4")),
            ("1.2.3.4:1234", Some("1.2.3.4")),
            ("2001:DB8:0:0::1", Some("2001:db8::1")),
            ("[2001:db8::1]:1234", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("2001:db8::1#1234", Some("2001:db8::1")),
            ("2001:db8::1p1234", Some("2001:db8::1")),
            ("2001:db8::1 port 1234", Some("2001:db8::1")),
            ("2001:db8::1.1234", Some("2001:db8::1")),
            ("2001:db8:1:2:3:4:5:6:1234", Some("2001:db8:1:2:3:4:5:6")),
            ("2001:db8::1:1234", Some("2001:db8::1:1234")),
            ("2001:db8::1:51413", Some("2001:db8::1")),
            ("fe80::1%eth0", Some("fe80::1")),
            ("[fe80::1%25eth0]:443", Some("fe80::1")),
            ("fe80::1%eth0#443", Some("fe80::1")),
            ("::ffff:1.2.3.4", Some("1.2.3.4")),
            ("::ffff:1.2.3.4:1234", Some("1.2.3.4")),
            ("[::ffff:1.2.3.4]:1234", Some("1.2.3.4")),
            ("1.2.3.4#1234", Some("1.2.3.4")),
            ("1.2.3.4p1234", Some("1.2.3.4")),
            ("1.2.3.4 port 1234", Some("1.2.3.4")),
            ("1.2.3.4.1234", Some("1.2.3.4")),
            ("10.0.0.1", Some("10.0.0.1")),
            ("0.0.0.0", None),
            ("0.0.0.0:443", None),
            ("::ffff:0.0.0.0", None),
            ("[::]:443", None),
            ("010.1.2.3", None),
            ("256.1.2.3", None),
            ("laptop-7.corp.example", None),
            ("null", None),
            ("-", None),
            ("::", None),
            ("1.2.3", None),
            ("unknown", None),
            ("", None),
            ("[", None),
        ] {
            assert_eq!(canonical_address(text).as_deref(), canonical, "{text}");
            let is_its_own = canonical == Some(text) && !text.contains(':');
            assert_eq!(is_canonical_ipv4(text), is_its_own, "{text}");
        }
    }

    #[test]
    fn host_names_in_an_addresss_place() {
        for (text, name) in [
            ("laptop-7.corp.example", Some("laptop-7.corp.example")),
            (" LAPTOP_7:3389 ", Some("LAPTOP_7")),
            ("localhost", Some("localhost")),
            ("1.2.3.4", None),
            ("2001:db8::1p1234", None),
            ("0.0.0.0", None),
            ("1.2.3", None),
            ("unknown", None),
            ("Null", None),
            ("none:80", None),
            ("-", None),
            ("", None),
            ("not a host", None),
            ("fe80::zz", None),
            ("a\u{1b}[2J", None),
        ] {
            assert_eq!(host_name(text).as_deref(), name, "{text}");
        }
    }

    #[test]
    fn networks() {
        assert_eq!(network("198.51.100.80:1").as_deref(), Some("198.51.100.0/24"));
        assert_eq!(network("2001:db8:1:2:3:4:5:6").as_deref(), Some("2001:db8:1::/48"));
        assert_eq!(network("-"), None);
    }
}
