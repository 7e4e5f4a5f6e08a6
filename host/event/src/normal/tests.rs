use super::*;

#[test]
fn tables() {
    for (log, path, received, expected) in [
        ("authentication", "result", "FRAUD", Some("fraud")),
        ("authentication", "result", "FAILURE", Some("denied")),
        ("authentication", "result", "success", Some("success")),
        ("authentication", "result", " ", None),
        ("authentication", "reason", "Anonymous IP", Some("anonymous_ip")),
        (
            "authentication",
            "reason",
            "User marked fraud",
            Some("user_marked_fraud"),
        ),
        (
            "authentication",
            "reason",
            "touchid_disabled",
            Some("touch_id_disabled"),
        ),
        (
            "authentication",
            "factor",
            "WebAuthn Chrome Touch ID",
            Some("webauthn_chrome_touch_id"),
        ),
        ("authentication", "factor", "Yubikey Passcode", Some("yubikey_code")),
        ("authentication", "factor", "n/a", None),
        (
            "authentication",
            "trusted_endpoint_status",
            "not trusted",
            Some("not_trusted"),
        ),
        ("authentication", "trusted_endpoint_status", "unknown", Some("unknown")),
        ("authentication", "access_device.hostname", "null", None),
        ("authentication", "user.name", "null", Some("null")),
        ("authentication", "access_device.location.city", "-", None),
        (
            "authentication",
            "access_device.location.country",
            "Bulgaria",
            Some("Bulgaria"),
        ),
        ("authentication", "alias", "unknown", None),
        ("authentication", "email", "", None),
        ("authentication", "access_device.browser", "Unknown", None),
        ("authentication", "access_device.is_password_set", "unknown", None),
        ("authentication", "access_device.ip", "1.2.3.4:5", Some("1.2.3.4")),
        ("authentication", "access_device.ip", "0.0.0.0", None),
        (
            "activity",
            "action.name",
            "admin_rectivates_duo_push",
            Some("admin_rectivates_duo_push"),
        ),
        ("activity", "outcome.result", "FAILURE", Some("denied")),
        ("activity", "outcome.result", "SUCCESS", Some("success")),
        ("admin", "target.details.status", "Bypass", Some("bypass")),
        (
            "telephony",
            "context",
            "administrator login",
            Some("administrator_login"),
        ),
        ("authentication", "some.new.field", "As It Is", Some("As It Is")),
    ] {
        let mapped = match Mapping::of(log, path).apply(received, &Mask::substitute()) {
            Mapped::Same => Some(received.to_owned()),
            Mapped::Null => None,
            Mapped::Text(text) => Some(text),
        };
        assert_eq!(mapped.as_deref(), expected, "{log} {path} {received:?}");
    }
}
