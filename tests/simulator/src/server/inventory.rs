//! Inventory endpoints: lists in pages with their metadata beside them, what hangs on an object, and single objects.

use serde_json::{Value, json};

use super::answer::{ApiError, Reply};
use super::route::Target;
use super::spoilt::Spoilt;
use super::state::Served;
use super::v2::values;
use crate::inventory::{Inventory, Kind, Shown};
use crate::json::dumps;

const USUAL: usize = 100;

/// What is asked of which account, and when.
pub(super) struct Question<'a> {
    pub(super) account: &'a Served,
    pub(super) parameters: &'a [(String, String)],
    pub(super) now_us: i64,
    pub(super) spoilt: Spoilt,
}

/// Answers whatever is no log and no count.
pub(super) fn answer(target: Target<'_>, question: &Question<'_>) -> Result<Reply, ApiError> {
    let (inventory, now_us) = (&question.account.content.inventory, question.now_us);
    let all = |kind| inventory.at(kind, now_us).collect::<Vec<_>>();
    let one = |kind, id| inventory.one(kind, id, now_us).ok_or(ApiError::NotFound);
    let text = |shown: &Shown<'_>| inventory.text(shown, now_us);
    match target {
        Target::List(kind) => question.page(kind, filtered(kind, all(kind), question.parameters)?),
        Target::Linked(Kind::Group, Kind::User, id) => {
            let user = one(Kind::User, id)?;
            let mut groups = all(Kind::Group);
            groups.retain(|group| user.is_of(group.id));
            question.page(Kind::Group, groups)
        }
        Target::Linked(kind, owner, id) => {
            one(owner, id)?;
            let mut linked = all(kind);
            linked.retain(|object| object.is_of(id));
            question.page(kind, linked)
        }
        Target::One(kind, id) => Ok(Reply::ok(&text(&one(kind, id)?))),
        Target::BlockedDevices => {
            let mut blocked = all(Kind::RegisteredDevice);
            blocked.retain(|device| device.template.contains("\"status\": \"blocked\""));
            question.page(Kind::RegisteredDevice, blocked)
        }
        Target::SecretKey(key) => {
            let integration = parsed(&one(Kind::Integration, key)?);
            let secret = integration.get("secret_key").cloned().unwrap_or_default();
            Ok(Reply::ok(&dumps(
                &json!({"integration_key": key, "secret_key": secret}),
            )))
        }
        Target::GlobalPolicy => {
            let policies = all(Kind::Policy);
            let global = policies
                .iter()
                .find(|policy| policy.template.contains("\"is_global_policy\": true"))
                .ok_or(ApiError::NotFound)?;
            Ok(Reply::ok(&text(global)))
        }
        Target::PolicySummary => Ok(Reply::ok(&policy_summary(inventory, now_us))),
        Target::CalculatedPolicy => {
            let first = |name| {
                values(question.parameters, name)
                    .next()
                    .ok_or(ApiError::MissingParameters)
            };
            one(Kind::Integration, first("integration_key")?)?;
            one(Kind::User, first("user_id")?)?;
            let sections = all(Kind::Policy).first().map(parsed).unwrap_or_default();
            let sections = sections.get("sections").cloned().unwrap_or_default();
            Ok(Reply::ok(&dumps(&json!({"policy_elements": [], "sections": sections}))))
        }
        Target::PasswordManagement(id) => password_management(question, id),
        Target::AuthMethods => Ok(Reply::ok(&dumps(&json!({
            "hardware_token_enabled": true, "mobile_otp_enabled": true, "push_enabled": true, "sms_enabled": false,
            "verified_push_enabled": true, "verified_push_length": 6, "voice_enabled": false, "webauthn_enabled": true,
            "yubikey_enabled": true,
        })))),
        Target::Passport => Ok(Reply::ok(&dumps(&json!({
            "custom_supported_browsers": {"macos": [], "windows": []}, "disabled_groups": [], "enabled_groups": [],
            "enabled_status": "disabled",
        })))),
        Target::Edition => Ok(Reply::ok("{\"edition\": \"BEYOND\"}")),
        Target::TelephonyCredits => Ok(Reply::ok("{\"credits\": 100000}")),
        _ => Err(ApiError::NotFound),
    }
}

/// Whether an administrator's password is kept elsewhere: of all, in pages, or of one.
fn password_management(question: &Question<'_>, id: Option<&str>) -> Result<Reply, ApiError> {
    let inventory = &question.account.content.inventory;
    let told = |id: &str| dumps(&json!({"admin_id": id, "has_external_password_mgmt": false, "has_password": true}));
    match id {
        Some(id) => {
            let admin = inventory
                .one(Kind::Admin, id, question.now_us)
                .ok_or(ApiError::NotFound)?;
            Ok(Reply::ok(&told(admin.id)))
        }
        None => {
            let admins = inventory.at(Kind::Admin, question.now_us);
            question.sent(Kind::Admin, admins.map(|admin| told(admin.id)).collect())
        }
    }
}

impl Question<'_> {
    fn page(&self, kind: Kind, objects: Vec<Shown<'_>>) -> Result<Reply, ApiError> {
        let (offset, limit) = self.stretch(kind)?;
        let total = objects.len();
        let inventory = &self.account.content.inventory;
        let shown = objects.iter().skip(offset).take(limit);
        let texts = shown.map(|object| inventory.text(object, self.now_us)).collect();
        Ok(self.stretched(offset, limit, total, texts))
    }

    fn sent(&self, kind: Kind, texts: Vec<String>) -> Result<Reply, ApiError> {
        let (offset, limit) = self.stretch(kind)?;
        let total = texts.len();
        let texts = texts.into_iter().skip(offset).take(limit).collect();
        Ok(self.stretched(offset, limit, total, texts))
    }

    /// Offset and limit asked for. A page that is sent twice begins one earlier.
    fn stretch(&self, kind: Kind) -> Result<(usize, usize), ApiError> {
        let most = if kind == Kind::User { 300 } else { 500 };
        let number = |name: &'static str| match values(self.parameters, name).next().map(str::parse::<usize>) {
            None => Ok(None),
            Some(Ok(number)) => Ok(Some(number)),
            Some(Err(_)) => Err(ApiError::InvalidParameters(name)),
        };
        let limit = number("limit")?.unwrap_or(USUAL);
        if !(1..=most).contains(&limit) {
            return Err(ApiError::InvalidParameters("limit"));
        }
        let offset = number("offset")?.unwrap_or(0);
        let earlier = if self.spoilt.duplicate_page { limit } else { 0 };
        Ok((offset.saturating_sub(earlier), limit))
    }

    fn stretched(&self, offset: usize, limit: usize, total: usize, texts: Vec<String>) -> Reply {
        let spoilt = self.spoilt;
        let asked = if spoilt.duplicate_page && offset > 0 {
            offset + limit
        } else {
            offset
        };
        let mut next = Some(offset.saturating_add(limit)).filter(|next| *next < total);
        let texts: Vec<String> = texts.into_iter().map(|text| spoil(&text, spoilt)).collect();
        let mut texts = spoilt.rows(texts);
        if spoilt.empty {
            texts.clear();
            next = Some(asked);
        }
        if spoilt.repeated_offset {
            next = Some(asked);
        }
        let member = spoilt.next_offset(next.map(|next| next.to_string()), next.is_some());
        let before = if asked > 0 {
            format!("\"prev_offset\": {}, ", asked.saturating_sub(limit))
        } else {
            String::new()
        };
        let total = match spoilt.object_total {
            true => format!("{{\"relation\": \"eq\", \"value\": {total}}}"),
            false => total.to_string(),
        };
        let metadata = format!("{{{member}{before}\"total_objects\": {total}}}");
        Reply::page(&format!("[{}]", texts.join(", ")), &metadata)
    }
}

/// An object's JSON, marks and all.
fn parsed(shown: &Shown<'_>) -> Value {
    serde_json::from_str(shown.template).unwrap_or_default()
}

/// The object's text as the faults leave it.
fn spoil(text: &str, spoilt: Spoilt) -> String {
    if !spoilt.unknown_fields && !spoilt.unknown_values {
        return text.to_owned();
    }
    let mut object: Value = serde_json::from_str(text).unwrap_or_default();
    if let Some(members) = object.as_object_mut() {
        if spoilt.unknown_fields {
            members.insert(
                "never_heard_of".to_owned(),
                json!({"list": [1, null, {"deep": true}], "text": "x"}),
            );
        }
        for member in ["status", "type"] {
            if spoilt.unknown_values && members.contains_key(member) {
                members.insert(member.to_owned(), json!("never_heard_of"));
            }
        }
    }
    dumps(&object)
}

/// Those that the filters ask for. Filters that Duo does not have are passed over, as it does.
fn filtered<'a>(
    kind: Kind,
    mut objects: Vec<Shown<'a>>,
    parameters: &[(String, String)],
) -> Result<Vec<Shown<'a>>, ApiError> {
    let known: &[(&'static str, &str)] = match kind {
        Kind::User => &[("username", "username"), ("email", "email")],
        Kind::Phone => &[("number", "number"), ("extension", "extension")],
        Kind::Token => &[("type", "type"), ("serial", "serial")],
        _ => &[],
    };
    for (name, member) in known {
        if let Some(wanted) = values(parameters, name).next() {
            objects.retain(|object| parsed(object).get(*member).and_then(Value::as_str) == Some(wanted));
        }
    }
    let lists: &[(&'static str, &str)] = match kind {
        Kind::User => &[("username_list", "username"), ("user_id_list", "user_id")],
        Kind::Group => &[("group_id_list", "group_id")],
        _ => &[],
    };
    for (name, member) in lists {
        if let Some(list) = values(parameters, name).next() {
            // A JSON array in a text.
            let wanted: Vec<String> = serde_json::from_str(list).map_err(|_| ApiError::InvalidParameters(name))?;
            let found = |object: &Shown<'_>| parsed(object).get(*member).and_then(Value::as_str).map(str::to_owned);
            objects.retain(|object| found(object).is_some_and(|value| wanted.contains(&value)));
        }
    }
    Ok(objects)
}

fn policy_summary(inventory: &Inventory, now_us: i64) -> String {
    let policies: Vec<Value> = inventory
        .at(Kind::Policy, now_us)
        .map(|policy| {
            let body = parsed(&policy);
            let key = body.get("policy_key").and_then(Value::as_str).unwrap_or_default();
            let applied = inventory
                .at(Kind::Integration, now_us)
                .filter(|integration| parsed(integration).get("policy_key").and_then(Value::as_str) == Some(key))
                .map(|integration| json!({"app_integration_key": integration.id}))
                .collect::<Vec<_>>();
            json!({
                "policy_applies_to": {"apps": applied, "group_app_policies": []}, "policy_key": key,
                "policy_name": body.get("policy_name"),
            })
        })
        .collect();
    dumps(&json!({"policies": policies, "policy_count": policies.len()}))
}
