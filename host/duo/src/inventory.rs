//! What the account consists of: users, devices, applications, settings. Asked page by page, as a whole, never by time.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// One kind of object that Duo lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inventory {
    /// Users with their groups and factors.
    Users,
    /// Phones and tablets.
    Phones,
    /// Machines as seen by browsers. Not part of every edition.
    Endpoints,
    /// Machines that Duo Desktop registered. Not part of every edition.
    RegisteredDevices,
    /// Hardware tokens.
    Tokens,
    /// Security keys and platform authenticators.
    WebauthnCredentials,
    /// Groups of users.
    Groups,
    /// Which users have bypass codes, until when; never the codes.
    BypassCodes,
    /// Administrators.
    Admins,
    /// Applications; never their secret keys.
    Integrations,
    /// Policies.
    Policies,
    /// The account's settings: one object.
    Settings,
    /// Counts of the account: one object.
    Summary,
    /// Telephony credits used: one object.
    TelephonyCredits,
    /// How many authentications ended how: one object.
    AuthenticationAttempts,
}

impl Inventory {
    /// All of them, those that help most first.
    pub const ALL: [Inventory; 15] = [
        Inventory::Users,
        Inventory::Phones,
        Inventory::Tokens,
        Inventory::Admins,
        Inventory::WebauthnCredentials,
        Inventory::Groups,
        Inventory::BypassCodes,
        Inventory::Endpoints,
        Inventory::RegisteredDevices,
        Inventory::Integrations,
        Inventory::Policies,
        Inventory::Settings,
        Inventory::Summary,
        Inventory::TelephonyCredits,
        Inventory::AuthenticationAttempts,
    ];

    /// The name that configuration and `picket status` use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Inventory::Users => "users",
            Inventory::Phones => "phones",
            Inventory::Endpoints => "endpoints",
            Inventory::RegisteredDevices => "registered_devices",
            Inventory::Tokens => "tokens",
            Inventory::WebauthnCredentials => "webauthn_credentials",
            Inventory::Groups => "groups",
            Inventory::BypassCodes => "bypass_codes",
            Inventory::Admins => "admins",
            Inventory::Integrations => "integrations",
            Inventory::Policies => "policies",
            Inventory::Settings => "settings",
            Inventory::Summary => "summary",
            Inventory::TelephonyCredits => "telephony_credits",
            Inventory::AuthenticationAttempts => "authentication_attempts",
        }
    }

    /// Where Duo serves it.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Inventory::Users => "/admin/v1/users",
            Inventory::Phones => "/admin/v1/phones",
            Inventory::Endpoints => "/admin/v1/endpoints",
            Inventory::RegisteredDevices => "/admin/v1/registered_devices",
            Inventory::Tokens => "/admin/v1/tokens",
            Inventory::WebauthnCredentials => "/admin/v1/webauthncredentials",
            Inventory::Groups => "/admin/v1/groups",
            Inventory::BypassCodes => "/admin/v1/bypass_codes",
            Inventory::Admins => "/admin/v1/admins",
            Inventory::Integrations => "/admin/v3/integrations",
            Inventory::Policies => "/admin/v2/policies",
            Inventory::Settings => "/admin/v1/settings",
            Inventory::Summary => "/admin/v1/info/summary",
            Inventory::TelephonyCredits => "/admin/v1/info/telephony_credits_used",
            Inventory::AuthenticationAttempts => "/admin/v1/info/authentication_attempts",
        }
    }

    /// How many objects are asked for at once: the most that Duo is known to allow. 1 for a single object.
    #[must_use]
    pub fn page_limit(self) -> u16 {
        match self {
            kind if kind.is_single() => 1,
            Inventory::Users => 300,
            // Its greatest page is not documented; this is the default.
            Inventory::Policies => 100,
            _ => 500,
        }
    }

    /// The field that names an object for good; none for a single object.
    #[must_use]
    pub fn id_field(self) -> Option<&'static str> {
        match self {
            Inventory::Users => Some("user_id"),
            Inventory::Phones => Some("phone_id"),
            Inventory::Endpoints => Some("epkey"),
            Inventory::RegisteredDevices => Some("compkey"),
            Inventory::Tokens => Some("token_id"),
            Inventory::WebauthnCredentials => Some("webauthnkey"),
            Inventory::Groups => Some("group_id"),
            Inventory::BypassCodes => Some("bypass_code_id"),
            Inventory::Admins => Some("admin_id"),
            Inventory::Integrations => Some("integration_key"),
            Inventory::Policies => Some("policy_key"),
            Inventory::Settings
            | Inventory::Summary
            | Inventory::TelephonyCredits
            | Inventory::AuthenticationAttempts => None,
        }
    }

    /// One object instead of a list.
    #[must_use]
    pub fn is_single(self) -> bool {
        self.id_field().is_none()
    }

    /// What the application must be granted, in the Admin Panel's words.
    #[must_use]
    pub fn permission(self) -> &'static str {
        match self {
            Inventory::Users
            | Inventory::Phones
            | Inventory::Endpoints
            | Inventory::RegisteredDevices
            | Inventory::Tokens
            | Inventory::WebauthnCredentials
            | Inventory::Groups
            | Inventory::BypassCodes
            | Inventory::Policies => "Grant resource - Read",
            Inventory::Admins => "Grant administrators - Read",
            Inventory::Integrations => "Grant applications - Read",
            Inventory::Settings => "Grant settings",
            Inventory::Summary | Inventory::TelephonyCredits | Inventory::AuthenticationAttempts => {
                "Grant read information"
            }
        }
    }

    /// Some of Duo's editions do not have it: with the permission granted, it is refused all the same.
    #[must_use]
    pub fn depends_on_edition(self) -> bool {
        matches!(self, Inventory::Endpoints | Inventory::RegisteredDevices)
    }

    /// Duo accepts version 5 signatures only.
    pub(crate) fn wants_v5(self) -> bool {
        matches!(self, Inventory::Integrations | Inventory::Policies)
    }
}

impl fmt::Display for Inventory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that is none of the kinds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no inventory {0:?}; there are {list}", list = Inventory::ALL.map(Inventory::as_str).join(", "))]
pub struct UnknownInventory(pub String);

impl FromStr for Inventory {
    type Err = UnknownInventory;

    fn from_str(name: &str) -> Result<Self, UnknownInventory> {
        Inventory::ALL
            .into_iter()
            .find(|kind| kind.as_str() == name)
            .ok_or_else(|| UnknownInventory(name.to_owned()))
    }
}

/// One page of objects.
#[derive(Debug, Clone)]
pub struct InventoryPage {
    /// The objects in Duo's order; as Duo wrote them, but without secrets. A single object is one row.
    pub rows: Vec<Box<RawValue>>,
    /// Where the next page begins; none after the last.
    pub next_offset: Option<u64>,
    /// How many objects there are in all, if Duo says so.
    pub total: Option<u64>,
    /// Duo's clock when it answered, ms since the Unix epoch, whole seconds.
    pub server_date_ms: Option<i64>,
}

/// An account below this one, as the Accounts API lists it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ChildAccount {
    /// Its id, `DA...`: sent with each request for it.
    pub account_id: String,
    /// Its own API host, at which it is read.
    pub api_hostname: String,
    /// Its name as shown in the Admin Panel; empty if Duo tells none.
    #[serde(default)]
    pub name: String,
}
