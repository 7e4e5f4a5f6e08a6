//! What is accepted, and that earlier rows change nothing.

use serde::de::IgnoredAny;

use super::*;

#[test]
fn nothing_is_accepted_that_serde_json_refuses() {
    let plain = |json: &str| Scan::whole(json, None, &mut Nobody).is_ok();
    let values = [
        "0",
        "-1",
        "10",
        "1.5",
        "1e9",
        "1E-9",
        "-0",
        "01",
        "1.",
        ".5",
        "-",
        "+1",
        "1e",
        "--1",
        "1 2",
        "true",
        "tru",
        "null",
        "nul",
        "nulll",
        r#""a""#,
        r#""a"#,
        r#""\n\"\\""#,
        r#""\u00e9""#,
        r#""\u00g9""#,
        r#""\u12""#,
        r#""\x""#,
        "\"\t\"",
        "\"long enough for a word\u{1}\"",
        "\"é\u{7f}ü, quite long\"",
        "[]",
        "[1]",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[[], {}]",
        "{}",
        r#"{"a":1}"#,
        r#"{"a":1,}"#,
        r#"{"a" 1}"#,
        r#"{a:1}"#,
        r#"{"a":}"#,
        "",
        "[",
        "{",
    ];
    for value in values {
        for json in [
            format!(r#"{{"k": {value}}}"#),
            format!(r#" {{"k":{value} , "l":[{value}]}} "#),
        ] {
            let theirs = serde_json::from_str::<IgnoredAny>(&json).is_ok();
            assert!(theirs || !plain(&json), "{json}");
            assert_eq!(theirs, plain(&json), "plain enough to be read at once: {json}");
        }
    }
    for json in ["", " ", "[1]", "{} x", "{}}", "\u{feff}{}"] {
        assert!(!plain(json), "{json}");
    }
    let deep = |depth: usize| format!(r#"{{"k":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    assert!(plain(&deep(60)) && !plain(&deep(100_000)));
}

#[test]
fn whole_numbers_of_ordinary_size() {
    let read = |json: &'static str| Scan::new(json, None).whole_number();
    assert_eq!(read("1700000000"), Ok(1_700_000_000));
    assert_eq!(read("-7"), Ok(-7));
    assert_eq!(read("0"), Ok(0));
    for unusual in ["-0", "1.0", "1e3", "9223372036854775808", "x"] {
        assert_eq!(read(unusual), Err(Unusual), "{unusual}");
    }
}

#[test]
fn the_row_before_changes_nothing() {
    let rows = [
        r#"{"a": 1, "b": {"c": "x", "d": 2}, "e": null}"#,
        r#"{"a":1,"b":{"c":"x","d":2},"e":null}"#,
        r#"{"a":  1, "b": {"d": 2}, "e": null, "f": []}"#,
        r#"{"b": {}, "a": 1, "": 2, "": 3}"#,
        r#"{"a": }"#,
        r#"{"a": 1, "b": {"c": "x", "d": 2}, "e" null}"#,
        r#"{, "a": 1, "b": {"c": "x", "d": 2}}"#,
        r#"{"a": 1"b": {"c": "x", "d": 2}}"#,
        r#"{"a": 1, , "b": {"c": "x", "d": 2}}"#,
        r#"{"a": 1 , "b": {"c": "x" , "d": 2}, }"#,
        r#"{"u": {"c": ["x", {"d": 2}]}, "a": 1, "b": 2, "e": "long enough for words to be compared, and then some"}"#,
        r#"{"u": {"c": ["x", {"d": 2}]}, "a": "\"", "b": 2, "e": "long enough for words to be compared, and then \""}"#,
        r#"{"u": {"c": ["x", {"d": 3}]}, "a": 1, "u": {"c": ["x", {"d": 3}]}, "u": {"c": ["x", {"d": 3}]"#,
        r#"{"u": {"c": ["x", {"d": 3}]}x, "a": 1}"#,
        r#"{"a\n": 1}"#,
        r#"{"a"#,
    ];
    #[derive(Default, PartialEq, Debug)]
    struct Keys(Vec<String>);
    impl<'a> Members<'a> for Keys {
        fn member(&mut self, key: Key<'a>, scan: &mut Scan<'a, '_>) -> Result<(), Unusual> {
            self.0.push(key.text.to_owned());
            match scan.peek() {
                Some(b'{') if key.text != "u" => scan.object(self),
                _ => scan.skip_value(&key),
            }
        }
    }
    for before in rows {
        for row in rows {
            let mut shape = Shape::default();
            let _ = Scan::whole(before, Some(&mut shape), &mut Keys::default());
            let (mut after, mut alone) = (Keys::default(), Keys::default());
            let read = Scan::whole(row, Some(&mut shape), &mut after);
            assert_eq!(read, Scan::whole(row, None, &mut alone), "{before} then {row}");
            assert_eq!(after, alone, "{before} then {row}");
        }
    }
}
