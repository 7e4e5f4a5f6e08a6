//! `lists:`: named lists of texts, written in the file or read from one of their own.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use super::Problem;
use super::file::Lists;
use super::tenant::Checker;

/// Longest file of a list, bytes.
const MOST_BYTES: u64 = 16 << 20;

impl Checker<'_> {
    /// Each list, whole. `$name` within one stands for nothing: a list is no sum of others.
    pub(super) fn lists(&self, lists: &Lists, problems: &mut Vec<Problem>) -> BTreeMap<String, Vec<String>> {
        let mut all = BTreeMap::new();
        for (name, list) in lists {
            let texts = match &list.value {
                Value::Array(items) => items
                    .iter()
                    .map(|item| item.as_str().map(str::to_owned))
                    .collect::<Option<Vec<String>>>()
                    .ok_or_else(|| "holds something that is no text: put numbers in quotes".to_owned()),
                Value::Object(object) => match (object.get("file").and_then(Value::as_str), object.len()) {
                    (Some(file), 1) => self.list_file(file),
                    _ => Err("is neither a list nor `{file: PATH}`".to_owned()),
                },
                _ => Err("is neither a list nor `{file: PATH}`".to_owned()),
            };
            match texts {
                Ok(texts) => {
                    all.insert(name.clone(), texts);
                }
                Err(why) => problems.push(
                    self.problem(list.referenced, format!("lists: `{name}` {why}"))
                        .hint("[one, two], or {file: ./lists/name.txt}: a text a line, # begins a remark"),
                ),
            }
        }
        all
    }

    /// The files of those that are read from one.
    pub(super) fn list_files(&self, lists: &Lists) -> Vec<PathBuf> {
        let files = lists.values().filter_map(|list| list.value.get("file")?.as_str());
        files.map(|file| self.file(file.as_ref())).collect()
    }

    fn list_file(&self, file: &str) -> Result<Vec<String>, String> {
        let path = self.file(file.as_ref());
        let cannot = |why: String| format!("cannot be read from {}: {why}", path.display());
        let length = std::fs::metadata(&path)
            .map_err(|error| cannot(error.to_string()))?
            .len();
        if length > MOST_BYTES {
            return Err(cannot(format!("it has {length} bytes, and {MOST_BYTES} are the most")));
        }
        let text = std::fs::read_to_string(&path).map_err(|error| cannot(error.to_string()))?;
        // An address or a name has no `#` in it, but a text may: a remark begins a line, or follows a space.
        let line = |line: &str| {
            let text = line.split(" #").next().unwrap_or_default().trim();
            (!text.is_empty() && !text.starts_with('#')).then(|| text.to_owned())
        };
        Ok(text.trim_start_matches('\u{feff}').lines().filter_map(line).collect())
    }
}
