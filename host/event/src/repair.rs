//! Half a character in a text must not hide an event.
//!
//! JSON can spell a lone half of a surrogate pair (`\ud83d`), and some writers do where a text was cut in the middle of a
//! character. It stands for nothing, and serde_json refuses it. A browser name chosen that way would make the whole row
//! unreadable, so rows that cannot be read are tried once more with each lone half replaced by `\ufffd`.

/// The same JSON with lone halves replaced. None: it has none.
pub(crate) fn repaired(json: &str) -> Option<String> {
    let mut out = String::new();
    let mut kept = 0;
    let mut at = 0;
    while let Some(found) = json.get(at..).and_then(|rest| memchr::memchr(b'\\', rest.as_bytes())) {
        let escape = at + found;
        let unit = code_unit(json, escape);
        at = escape + if unit.is_some() { 6 } else { 2 };
        let lone = match unit {
            Some(0xd800..=0xdbff) if matches!(code_unit(json, at), Some(0xdc00..=0xdfff)) => {
                at += 6;
                false
            }
            Some(0xd800..=0xdfff) => true,
            _ => false,
        };
        if lone {
            out.push_str(json.get(kept..escape)?);
            out.push_str("\\ufffd");
            kept = at;
        }
    }
    out.push_str(json.get(kept..)?);
    (kept > 0).then_some(out)
}

/// The code unit of a `\uXXXX` at this place.
fn code_unit(json: &str, at: usize) -> Option<u16> {
    let digits = json.get(at..at.checked_add(6)?)?.strip_prefix("\\u")?;
    digits
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit())
        .then(|| u16::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lone_halves_only() {
        for (json, expected) in [
            (r#""\ud83d""#, Some(r#""\ufffd""#)),
            (r#""\udc00 \uD83D\u0041 x""#, Some(r#""\ufffd \ufffd\u0041 x""#)),
            (r#""\ud83d\ud83d\ude00""#, Some(r#""\ufffd\ud83d\ude00""#)),
            (r#""\ud83d\ude00""#, None),
            (r#""\\ud83d""#, None),
            (r#""plain é \n""#, None),
            (r#""\"#, None),
            // No JSON anyway.
            (r#""\é\ud83d""#, None),
        ] {
            assert_eq!(repaired(json).as_deref(), expected, "{json}");
        }
    }
}
