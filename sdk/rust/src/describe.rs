//! Writes the manifest. By hand, because a JSON library would be most of a module's size.

use crate::define::{FieldDef, ParamDef, Rule, SourceDef, StateDef, StoreDef};

/// The JSON of `picket.manifest/1`.
pub(crate) fn manifest(rules: &[&Rule]) -> String {
    let mut json = Json {
        text: String::with_capacity(16 << 10),
    };
    json.raw(r#"{"schema":"picket.manifest/1","attack_version":"19","rules":"#);
    json.list(rules, |json, rule| json.rule(rule));
    json.raw("}");
    json.text
}

struct Json {
    text: String,
}

impl Json {
    fn rule(&mut self, rule: &Rule) {
        self.raw("{\"id\":");
        self.quoted(rule.id);
        self.text_member("version", rule.version);
        self.text_member("title", rule.title);
        self.text_member("description", rule.description);
        self.text_member("severity", rule.severity);
        self.texts_member("attack", rule.attack);
        self.texts_member("check", rule.check);
        self.texts_member("act", rule.act);
        self.texts_member("false_positives", rule.false_positives);
        self.member("sources");
        self.list(rule.sources, |json, source| json.source(source));
        self.member("params");
        self.list(rule.params, |json, param| json.param(param));
        self.member("state");
        self.state(&rule.state);
        self.number_member("dedup_period_ms", rule.dedup_ms);
        self.texts_member("supersedes", rule.supersedes);
        self.text_member("tests", rule.tests);
        self.raw("}");
    }

    fn source(&mut self, source: &SourceDef) {
        self.raw("{\"log\":");
        self.quoted(source.log);
        self.text_member("name", source.name);
        self.member("fields");
        self.list(source.fields, |json, FieldDef { path, kind, required }| {
            json.raw("{\"path\":");
            json.quoted(path);
            json.text_member("type", kind);
            json.member("required");
            json.raw(if *required { "true}" } else { "false}" });
        });
        self.member("when");
        self.raw(source.when);
        self.raw("}");
    }

    fn param(&mut self, param: &ParamDef) {
        self.raw("{\"name\":");
        self.quoted(param.name);
        self.text_member("doc", param.doc);
        self.text_member("type", param.kind);
        for (name, value) in [("default", Some(param.default)), ("min", param.min), ("max", param.max)] {
            if let Some(value) = value {
                self.member(name);
                self.raw(value);
            }
        }
        self.raw("}");
    }

    fn state(&mut self, state: &StateDef) {
        self.raw("{\"version\":");
        self.raw(&state.version.to_string());
        self.number_member("look_back_ms", state.look_back_ms);
        self.member("stores");
        self.list(
            state.stores,
            |json,
             StoreDef {
                 name,
                 kind,
                 keep_ms,
                 cap,
             }| {
                json.raw("{\"name\":");
                json.quoted(name);
                json.text_member("kind", kind);
                json.number_member("keep_ms", *keep_ms);
                json.number_member("cap", i64::from(*cap));
                json.raw("}");
            },
        );
        self.raw("}");
    }

    fn raw(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn member(&mut self, name: &str) {
        self.raw(",\"");
        self.raw(name);
        self.raw("\":");
    }

    fn text_member(&mut self, name: &str, value: &str) {
        self.member(name);
        self.quoted(value);
    }

    fn number_member(&mut self, name: &str, value: i64) {
        self.member(name);
        self.raw(&value.to_string());
    }

    fn texts_member(&mut self, name: &str, values: &[&str]) {
        self.member(name);
        self.list(values, |json, value| json.quoted(value));
    }

    fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.raw("[");
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.raw(",");
            }
            write(self, item);
        }
        self.raw("]");
    }

    fn quoted(&mut self, text: &str) {
        self.raw("\"");
        for character in text.chars() {
            match character {
                '"' => self.raw("\\\""),
                '\\' => self.raw("\\\\"),
                '\n' => self.raw("\\n"),
                '\t' => self.raw("\\t"),
                control if control < ' ' => {
                    const HEX: &[u8; 16] = b"0123456789abcdef";
                    let digit = |value: u32| HEX.get(value as usize & 15).map_or('0', |digit| char::from(*digit));
                    self.raw("\\u00");
                    self.text.push(digit(control as u32 >> 4));
                    self.text.push(digit(control as u32));
                }
                other => self.text.push(other),
            }
        }
        self.raw("\"");
    }
}
