//! The manifest that `describe` returned, read and checked. Everything that is wrong is reported at once, with the rule it
//! concerns and what would be right, because its author corrects it in one go.

use std::collections::HashSet;

use picket_contract::manifest::{Param, ParamType, SCHEMA, Source, StateManifest};
use picket_contract::when::{Op, Test};
use picket_contract::{Manifest, RuleManifest, When};
use serde_json::Value;

use crate::text;

/// Most rules of a module, sources of a rule (a batch's order is one byte a row), fields of a source.
const RULES: usize = 100;
const SOURCES: usize = 32;
const FIELDS: usize = 128;
const PARAMS: usize = 64;
const ID: usize = 64;
const TITLE: usize = 200;
/// Everything an operator may read of one rule, bytes.
const PROSE: usize = 32 << 10;
/// Nodes of one `when`, and values of one comparison.
const NODES: usize = 200;
const VALUES: usize = 2000;

/// Reads a manifest, or says everything that is wrong with it.
pub(crate) fn read(json: &str) -> Result<Manifest, Vec<String>> {
    // The schema first: of another one, nothing else is known.
    let value: Value =
        serde_json::from_str(json).map_err(|error| vec![format!("describe returned no JSON: {error}")])?;
    let schema = value.get("schema").and_then(Value::as_str).unwrap_or_default();
    if schema != SCHEMA {
        return Err(vec![format!(
            "schema is “{}”, and this host reads {SCHEMA}",
            text::clean(schema, 60)
        )]);
    }
    let manifest: Manifest =
        serde_json::from_value(value).map_err(|error| vec![text::clean(&error.to_string(), 300)])?;
    let mut problems = Vec::new();
    if manifest.attack_version.len() > 40 || !is_readable(&manifest.attack_version) {
        let found = text::clean(&manifest.attack_version, 40);
        problems.push(format!("attack_version “{found}” is no version such as 19"));
    }
    if manifest.rules.is_empty() {
        problems.push("no rules: a module has one at least".to_owned());
    }
    if manifest.rules.len() > RULES {
        problems.push(format!("{} rules, at most {RULES} in one module", manifest.rules.len()));
    }
    let mut seen = HashSet::new();
    for rule in &manifest.rules {
        let mut check = Check {
            rule: text::clean(&rule.id, ID),
            problems: &mut problems,
        };
        check.that(seen.insert(&rule.id), || {
            "its id is used twice in the module".to_owned()
        });
        check.rule(rule);
    }
    if problems.is_empty() {
        Ok(manifest)
    } else {
        Err(problems)
    }
}

/// Problems of one rule.
struct Check<'p> {
    rule: String,
    problems: &'p mut Vec<String>,
}

impl Check<'_> {
    fn that(&mut self, holds: bool, problem: impl FnOnce() -> String) {
        // A hostile manifest could have a million mistakes.
        if !holds && self.problems.len() < 20 {
            let rule = &self.rule;
            self.problems
                .push(text::clean(&format!("rule `{rule}`: {}", problem()), 300));
        }
    }

    fn rule(&mut self, rule: &RuleManifest) {
        self.that(is_id(&rule.id), || {
            format!("an id is lower-case letters, digits and single hyphens, starts with a letter, and has at most {ID} characters")
        });
        self.that(is_semver(&rule.version), || {
            format!("version “{}” is not of the form 1.2.3", text::clean(&rule.version, 40))
        });
        let title = rule.title.trim();
        self.that(!title.is_empty() && title.len() <= TITLE, || {
            format!(
                "a title has 1 to {TITLE} bytes, and this one has {}: {title}",
                title.len()
            )
        });
        self.texts(rule);
        let lists = [
            &rule.attack,
            &rule.check,
            &rule.act,
            &rule.false_positives,
            &rule.supersedes,
        ];
        let prose: usize = rule.description.len() + lists.into_iter().flatten().map(String::len).sum::<usize>();
        self.that(prose <= PROSE, || {
            format!("{prose} bytes of description and steps, at most {PROSE} allowed")
        });
        for id in &rule.attack {
            self.that(is_technique(id), || {
                format!(
                    "“{}” is no ATT&CK technique id such as T1621 or T1556.006",
                    text::clean(id, 20)
                )
            });
        }
        for id in &rule.supersedes {
            self.that(is_id(id) && *id != rule.id, || {
                format!("supersedes “{}”, which is no id of another rule", text::clean(id, ID))
            });
        }
        self.that(rule.dedup_period_ms >= 0, || {
            format!(
                "dedup_period_ms is {}, and a period is not negative",
                rule.dedup_period_ms
            )
        });
        self.state(&rule.state);
        self.that(rule.params.len() <= PARAMS, || {
            format!("{} parameters, at most {PARAMS} allowed", rule.params.len())
        });
        let mut names = HashSet::new();
        for param in &rule.params {
            let name = text::clean(&param.name, ID);
            self.that(names.insert(&param.name), || {
                format!("parameter `{name}` is declared twice")
            });
            self.param(param, &name);
        }
        self.that(!rule.sources.is_empty(), || {
            "no sources: a rule reads one log at least".to_owned()
        });
        self.that(rule.sources.len() <= SOURCES, || {
            format!("{} sources, at most {SOURCES} allowed", rule.sources.len())
        });
        for source in &rule.sources {
            self.source(source, rule);
        }
    }

    /// What people read of a rule, on terminals too.
    fn texts(&mut self, rule: &RuleManifest) {
        let once = [("title", &rule.title), ("description", &rule.description)];
        let params = rule
            .params
            .iter()
            .map(|param| ("documentation of a parameter", &param.doc));
        let sources = rule.sources.iter().map(|source| ("name of a source", &source.name));
        let stores = rule.state.stores.iter();
        let stores = stores.flat_map(|store| [("name of a state", &store.name), ("kind of a state", &store.kind)]);
        let steps = rule.check.iter().chain(&rule.act).chain(&rule.false_positives);
        let steps = steps.map(|step| ("step or false positive", step));
        for (what, written) in once.into_iter().chain(params).chain(sources).chain(stores).chain(steps) {
            self.that(is_readable(written), || {
                format!("a {what} holds control characters: {written}")
            });
        }
    }

    fn state(&mut self, state: &StateManifest) {
        self.that(state.look_back_ms >= 0, || {
            format!("look_back_ms is {}, and a span is not negative", state.look_back_ms)
        });
        for store in &state.stores {
            self.that(store.keep_ms >= 0, || {
                format!(
                    "state `{}` keeps for {} ms, and a span is not negative",
                    text::clean(&store.name, ID),
                    store.keep_ms
                )
            });
        }
    }

    fn param(&mut self, param: &Param, name: &str) {
        self.that(is_name(&param.name), || {
            format!(
                "parameter `{name}`: a name is lower-case letters, digits and underscores, and starts with a letter"
            )
        });
        let bounds = [
            ("default", Some(&param.default)),
            ("min", param.min.as_ref()),
            ("max", param.max.as_ref()),
        ];
        for (what, value) in bounds {
            let Some(value) = value else { continue };
            self.that(fits(param.kind, value), || {
                format!(
                    "parameter `{name}`: {what} {} is not {}",
                    text::clean(&value.to_string(), 60),
                    wanted(param.kind)
                )
            });
        }
    }

    fn source(&mut self, source: &Source, rule: &RuleManifest) {
        let log = text::clean(&source.log, ID);
        self.that(picket_catalogue::log(&source.log).is_some(), || {
            let known: Vec<&str> = picket_catalogue::logs().iter().map(|log| log.name).collect();
            let meant = picket_catalogue::suggest_log(&source.log).map(|name| format!(" (did you mean `{name}`?)"));
            format!(
                "there is no log `{log}`{}; there are {}",
                meant.unwrap_or_default(),
                known.join(", ")
            )
        });
        self.that(source.fields.len() <= FIELDS, || {
            format!("{} fields of {log}, at most {FIELDS} allowed", source.fields.len())
        });
        let mut paths = HashSet::new();
        for field in &source.fields {
            let path = text::clean(&field.path, 200);
            self.that(is_path(&field.path), || {
                format!("`{path}` of {log} is no path such as access_device.ip")
            });
            self.that(paths.insert((&field.path, field.kind)), || {
                format!("field `{path}` of {log} is declared twice")
            });
        }
        let mut nodes = 0;
        self.when(&source.when, rule, &log, &mut nodes, 0);
        self.that(nodes <= NODES, || {
            format!("the when of {log} has {nodes} nodes, at most {NODES} allowed")
        });
    }

    fn when(&mut self, when: &When, rule: &RuleManifest, log: &str, nodes: &mut usize, depth: usize) {
        *nodes += 1;
        if depth > 32 || *nodes > NODES {
            self.that(depth <= 32, || format!("the when of {log} is nested more than 32 deep"));
            return;
        }
        match when {
            When::All { all: branches } | When::Any { any: branches } => {
                for branch in branches {
                    self.when(branch, rule, log, nodes, depth + 1);
                }
            }
            When::Not { not } => self.when(not, rule, log, nodes, depth + 1),
            When::Test(test) => self.test(test, rule, log),
        }
    }

    fn test(&mut self, test: &Test, rule: &RuleManifest, log: &str) {
        let field = text::clean(&test.field, 200);
        self.that(is_path(&test.field), || {
            format!("when of {log}: `{field}` is no path such as access_device.ip")
        });
        if test.op == Op::Present {
            self.that(test.values.is_empty() && test.param.is_none(), || {
                format!("when of {log}: `present` of `{field}` takes no values")
            });
            return;
        }
        self.that(test.values.len() <= VALUES, || {
            format!(
                "when of {log}: {} values for `{field}`, at most {VALUES}",
                test.values.len()
            )
        });
        match &test.param {
            Some(name) => {
                let kind = rule
                    .params
                    .iter()
                    .find(|param| param.name == *name)
                    .map(|param| param.kind);
                let name = text::clean(name, ID);
                self.that(kind.is_some(), || {
                    format!("when of {log}: `{field}` refers to parameter `{name}`, which is not declared")
                });
                self.that(kind.is_none_or(|kind| matches!(kind, ParamType::Text | ParamType::Texts)), || {
                    format!("when of {log}: parameter `{name}` is compared with `{field}` and is neither a text nor a list of texts")
                });
                self.that(test.values.is_empty(), || {
                    format!("when of {log}: `{field}` has both values and a parameter")
                });
            }
            None => self.that(!test.values.is_empty(), || {
                format!("when of {log}: `{field}` is compared with nothing")
            }),
        }
    }
}

/// Nothing in it that a terminal acts on; lines may end.
fn is_readable(written: &str) -> bool {
    !written
        .chars()
        .any(|character| text::unwanted(character) && !matches!(character, '\n' | '\t'))
}

fn is_id(id: &str) -> bool {
    let characters = id
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    characters
        && id.len() <= ID
        && id.starts_with(|first: char| first.is_ascii_lowercase())
        && !id.ends_with('-')
        && !id.contains("--")
}

fn is_name(name: &str) -> bool {
    let characters = name
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    characters && name.len() <= ID && name.starts_with(|first: char| first.is_ascii_lowercase())
}

/// Words with dots between. Words are not looked at further: new fields of Duo's may be called anything.
fn is_path(path: &str) -> bool {
    path.len() <= 200 && !path.chars().any(char::is_control) && path.split('.').all(|word| !word.trim().is_empty())
}

fn is_semver(version: &str) -> bool {
    let (core, suffix) = match version.find(['-', '+']) {
        Some(at) => version.split_at(at),
        None => (version, ""),
    };
    let number = |part: &str| part.parse::<u32>().is_ok_and(|number| number.to_string() == part);
    let parts: Vec<&str> = core.split('.').collect();
    let tail = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'+');
    parts.len() == 3
        && parts.into_iter().all(number)
        && version.len() <= 40
        && suffix.len() != 1
        && suffix.bytes().all(tail)
}

fn is_technique(id: &str) -> bool {
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some(rest) = id.strip_prefix('T') else { return false };
    match rest.split_once('.') {
        Some((technique, part)) => digits(technique, 4) && digits(part, 3),
        None => digits(rest, 4),
    }
}

fn fits(kind: ParamType, value: &Value) -> bool {
    match kind {
        ParamType::Integer => value.is_i64(),
        ParamType::Number => value.is_number(),
        ParamType::Boolean => value.is_boolean(),
        ParamType::Duration => value.as_str().is_some_and(is_duration),
        ParamType::Text => value.is_string(),
        ParamType::Texts => value
            .as_array()
            .is_some_and(|values| values.iter().all(Value::is_string)),
    }
}

fn wanted(kind: ParamType) -> &'static str {
    match kind {
        ParamType::Integer => "a whole number",
        ParamType::Number => "a number",
        ParamType::Boolean => "true or false",
        ParamType::Duration => "a span such as 90s, 30m, 24h or 7d",
        ParamType::Text => "a text",
        ParamType::Texts => "a list of texts",
    }
}

/// `90s`, `30m`, `24h`, `7d`, and several of them one after the other.
fn is_duration(text: &str) -> bool {
    let mut digits = 0;
    let mut units = 0;
    for character in text.chars() {
        match character {
            '0'..='9' => digits += 1,
            's' | 'm' | 'h' | 'd' | 'w' if (1..=9).contains(&digits) => (digits, units) = (0, units + 1),
            _ => return false,
        }
    }
    digits == 0 && units > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn manifest() -> Value {
        json!({
            "schema": "picket.manifest/1",
            "rules": [{
                "id": "push-abuse", "version": "1.0.0", "title": "Push abuse", "severity": "high", "attack": ["T1621"],
                "dedup_period_ms": 0,
                "params": [{"name": "window", "type": "duration", "default": "30m"}, {"name": "ips", "type": "texts", "default": []}],
                "sources": [{
                    "log": "authentication",
                    "fields": [{"path": "access_device.ip", "type": "text"}],
                    "when": {"all": [
                        {"field": "result", "op": "in", "values": ["denied"]},
                        {"not": {"field": "access_device.ip", "op": "in", "param": "ips"}}
                    ]}
                }]
            }]
        })
    }

    fn problems(change: impl FnOnce(&mut Value)) -> String {
        let mut value = manifest();
        change(&mut value);
        read(&value.to_string()).map_or_else(|problems| problems.join("; "), |_| String::new())
    }

    #[test]
    fn a_good_manifest_is_read() {
        let read = read(&manifest().to_string()).unwrap();
        assert_eq!(read.rules[0].id, "push-abuse");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let rule = "/rules/0";
        let cases: &[(&str, Value, &str)] = &[
            (
                "/schema",
                json!("picket.manifest/2"),
                "this host reads picket.manifest/1",
            ),
            ("/rules", json!([]), "no rules"),
            (&format!("{rule}/id"), json!("Push Abuse"), "an id is lower-case"),
            (&format!("{rule}/version"), json!("1.0"), "not of the form 1.2.3"),
            (&format!("{rule}/title"), json!(" "), "a title has"),
            (&format!("{rule}/severity"), json!("awful"), "unknown variant `awful`"),
            (&format!("{rule}/attack/0"), json!("1621"), "no ATT&CK technique id"),
            (&format!("{rule}/dedup_period_ms"), json!(-1), "not negative"),
            (
                &format!("{rule}/params/0/default"),
                json!("half an hour"),
                "is not a span such as 90s",
            ),
            (&format!("{rule}/params/1/name"), json!("window"), "declared twice"),
            (&format!("{rule}/sources"), json!([]), "no sources"),
            (
                &format!("{rule}/sources/0/log"),
                json!("authentications"),
                "did you mean `authentication`?",
            ),
            (&format!("{rule}/sources/0/fields/0/path"), json!("a..b"), "is no path"),
            (
                &format!("{rule}/sources/0/fields/0/type"),
                json!("u8"),
                "unknown variant `u8`",
            ),
            (
                &format!("{rule}/sources/0/when/all/1/not/param"),
                json!("nets"),
                "parameter `nets`, which is not declared",
            ),
            (
                &format!("{rule}/sources/0/when/all/1/not/param"),
                json!("window"),
                "neither a text nor a list",
            ),
            (
                &format!("{rule}/sources/0/when/all/0/values"),
                json!([]),
                "compared with nothing",
            ),
        ];
        for (path, value, expected) in cases {
            let said = problems(|manifest| *manifest.pointer_mut(path).unwrap() = value.clone());
            assert!(said.contains(expected), "{path}: {said}");
        }
        assert!(
            problems(|manifest| {
                let rule = manifest["rules"][0].clone();
                manifest["rules"].as_array_mut().unwrap().push(rule);
            })
            .contains("used twice")
        );
    }
}
