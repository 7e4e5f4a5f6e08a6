//! Which path leads where, who may go there, and how it must be signed.

use serde::{Deserialize, Serialize};

use crate::inventory::Kind;
use crate::model::Feed;

/// A permission of an Admin API application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// "Grant read log".
    ReadLog,
    /// "Grant read information".
    ReadInformation,
    /// "Grant resource - Read".
    ReadResource,
    /// "Grant administrators - Read".
    Administrators,
    /// "Grant applications".
    Applications,
    /// "Grant settings".
    Settings,
}

impl Permission {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::ReadLog,
        Self::ReadInformation,
        Self::ReadResource,
        Self::Administrators,
        Self::Applications,
        Self::Settings,
    ];
}

/// What is counted over a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Info {
    Summary,
    Attempts,
    UserAttempts,
    Credits,
}

/// Where a path leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target<'a> {
    Ping,
    V2(Feed),
    V1(Feed),
    TrustMonitor,
    Info(Info),
    /// All objects of a kind, in pages.
    List(Kind),
    /// Those that are linked with an object.
    Linked(Kind, Kind, &'a str),
    /// One object.
    One(Kind, &'a str),
    /// An application's secret key.
    SecretKey(&'a str),
    BlockedDevices,
    GlobalPolicy,
    PolicySummary,
    CalculatedPolicy,
    PasswordManagement(Option<&'a str>),
    AuthMethods,
    Passport,
    Logo,
    Edition,
    TelephonyCredits,
    Children,
}

impl Target<'_> {
    /// The log, if it is one.
    pub(super) fn feed(&self) -> Option<Feed> {
        match self {
            Self::V2(feed) | Self::V1(feed) => Some(*feed),
            Self::TrustMonitor => Some(Feed::TrustMonitor),
            _ => None,
        }
    }

    /// None: the Accounts API alone.
    pub(super) fn permission(&self) -> Option<Permission> {
        use Permission::{Administrators, Applications, ReadInformation, ReadLog, ReadResource, Settings};
        Some(match self {
            Self::V2(_) | Self::V1(_) | Self::TrustMonitor => ReadLog,
            Self::Info(_) | Self::Edition | Self::TelephonyCredits => ReadInformation,
            Self::List(Kind::Integration) | Self::One(Kind::Integration, _) | Self::SecretKey(_) => Applications,
            Self::List(Kind::Admin | Kind::AdministrativeUnit | Kind::Activation)
            | Self::One(Kind::Admin | Kind::AdministrativeUnit, _)
            | Self::PasswordManagement(_)
            | Self::AuthMethods => Administrators,
            Self::One(Kind::Settings, _) | Self::Logo | Self::Passport => Settings,
            Self::List(_)
            | Self::Linked(..)
            | Self::One(..)
            | Self::BlockedDevices
            | Self::GlobalPolicy
            | Self::PolicySummary
            | Self::CalculatedPolicy => ReadResource,
            Self::Ping | Self::Children => return None,
        })
    }

    /// The one verb it knows.
    pub(super) fn method(&self) -> &'static str {
        match self {
            Self::Children => "POST",
            _ => "GET",
        }
    }
}

/// Where a path leads, and whether only a v5 signature opens it; none: nowhere.
pub(super) fn route(path: &str) -> Option<(Target<'_>, bool)> {
    let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    match segments.as_slice() {
        ["auth", "v2", "ping"] => Some((Target::Ping, false)),
        ["accounts", "v1", "account", "list"] => Some((Target::Children, false)),
        ["admin", version, rest @ ..] => {
            let v5 = matches!(
                (*version, rest.first()),
                ("v2", Some(&"policies")) | ("v3", Some(&"integrations"))
            );
            admin(version, rest).map(|target| (target, v5))
        }
        _ => None,
    }
}

fn admin<'a>(version: &str, rest: &[&'a str]) -> Option<Target<'a>> {
    Some(match (version, rest) {
        ("v2", ["logs", "authentication"]) => Target::V2(Feed::Authentication),
        ("v2", ["logs", "activity"]) => Target::V2(Feed::Activity),
        ("v2", ["logs", "telephony"]) => Target::V2(Feed::Telephony),
        ("v1", ["logs", "administrator"]) => Target::V1(Feed::Administrator),
        ("v1", ["logs", "authentication"]) => Target::V1(Feed::Authentication),
        ("v1", ["logs", "telephony"]) => Target::V1(Feed::Telephony),
        ("v1", ["logs", "offline_enrollment"]) => Target::V1(Feed::OfflineEnrollment),
        ("v1", ["trust_monitor", "events"]) => Target::TrustMonitor,
        ("v1", ["info", "summary"]) => Target::Info(Info::Summary),
        ("v1", ["info", "authentication_attempts"]) => Target::Info(Info::Attempts),
        ("v1", ["info", "user_authentication_attempts"]) => Target::Info(Info::UserAttempts),
        ("v1", ["info", "telephony_credits_used"]) => Target::Info(Info::Credits),
        ("v2", ["policies"]) => Target::List(Kind::Policy),
        ("v2", ["policies", "global"]) => Target::GlobalPolicy,
        ("v2", ["policies", "summary"]) => Target::PolicySummary,
        ("v2", ["policies", "calculate"]) => Target::CalculatedPolicy,
        ("v2", ["policies", key]) => Target::One(Kind::Policy, key),
        ("v2" | "v3", ["integrations"]) => Target::List(Kind::Integration),
        ("v2" | "v3", ["integrations", key]) => Target::One(Kind::Integration, key),
        ("v1" | "v2", ["groups", id]) => Target::One(Kind::Group, id),
        ("v2", ["groups", id, "users"]) => Target::Linked(Kind::User, Kind::Group, id),
        ("v2", ["passport", "config"]) => Target::Passport,
        ("v1", ["admins", "activations"]) => Target::List(Kind::Activation),
        ("v1", ["admins", "password_mgmt"]) => Target::PasswordManagement(None),
        ("v1", ["admins", "allowed_auth_methods"]) => Target::AuthMethods,
        ("v1", ["admins", id, "password_mgmt"]) => Target::PasswordManagement(Some(id)),
        ("v1", ["integrations", key, "skey"]) => Target::SecretKey(key),
        ("v1", ["registered_devices", "blocked"]) => Target::BlockedDevices,
        ("v1", ["settings"]) => Target::One(Kind::Settings, "settings"),
        ("v1", ["logo"]) => Target::Logo,
        ("v1", ["billing", "edition"]) => Target::Edition,
        ("v1", ["billing", "telephony_credits"]) => Target::TelephonyCredits,
        ("v1", ["users", id, "groups"]) => Target::Linked(Kind::Group, Kind::User, id),
        ("v1", ["users", id, kind]) => Target::Linked(carried(kind)?, Kind::User, id),
        ("v1", [kind]) => Target::List(listed(kind)?),
        ("v1", [kind, id]) => Target::One(listed(kind)?, id),
        _ => return None,
    })
}

/// What hangs on a user.
fn carried(name: &str) -> Option<Kind> {
    listed(name).filter(|kind| {
        matches!(
            kind,
            Kind::Phone
                | Kind::Token
                | Kind::BypassCode
                | Kind::U2fToken
                | Kind::WebauthnCredential
                | Kind::DesktopAuthenticator
                | Kind::DesktopToken
        )
    })
}

/// What has a list of its own under `/admin/v1/`.
fn listed(name: &str) -> Option<Kind> {
    Some(match name {
        "users" => Kind::User,
        "phones" => Kind::Phone,
        "tokens" => Kind::Token,
        "webauthncredentials" => Kind::WebauthnCredential,
        "u2ftokens" => Kind::U2fToken,
        "bypass_codes" => Kind::BypassCode,
        "groups" => Kind::Group,
        "endpoints" => Kind::Endpoint,
        "registered_devices" => Kind::RegisteredDevice,
        "desktop_authenticators" => Kind::DesktopAuthenticator,
        "desktoptokens" => Kind::DesktopToken,
        "integrations" => Kind::Integration,
        "admins" => Kind::Admin,
        "administrative_units" => Kind::AdministrativeUnit,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_where_duos_do() {
        let to = |path| route(path).map(|(target, _)| target);
        assert_eq!(to("/admin/v2/logs/activity"), Some(Target::V2(Feed::Activity)));
        assert_eq!(
            to("/admin/v1/users/DU1/phones"),
            Some(Target::Linked(Kind::Phone, Kind::User, "DU1"))
        );
        assert_eq!(to("/admin/v1/admins/activations"), Some(Target::List(Kind::Activation)));
        assert_eq!(to("/admin/v1/admins/DE1"), Some(Target::One(Kind::Admin, "DE1")));
        for nowhere in [
            "/admin/v1/logs/activity",
            "/admin/v3/users",
            "/admin/v1/users/DU1/endpoints",
            "/admin",
            "/",
            "",
        ] {
            assert_eq!(to(nowhere), None, "{nowhere}");
        }
        assert!(route("/admin/v3/integrations").is_some_and(|(_, v5)| v5));
        assert!(route("/admin/v2/policies/summary").is_some_and(|(_, v5)| v5));
        assert!(route("/admin/v1/integrations").is_some_and(|(_, v5)| !v5));
    }
}
