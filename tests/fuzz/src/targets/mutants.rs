//! Real modules with some bytes changed, and bytes that are no module at all, through admission and, where they pass, a call.

use picket_contract::Batch;
use picket_hostile::{Answer, Guest, LOG, LOOKUP, NOTHING, PARAMS, STATE, Shell, TIMERS, rows};

use super::Target;
use super::house::{House, feature, hash, presentable};

pub(crate) struct Mutants {
    house: House,
    batch: Batch,
}

impl Mutants {
    pub(crate) fn new() -> Self {
        Mutants {
            house: House::new(),
            batch: rows(3, 1),
        }
    }
}

impl Target for Mutants {
    fn execute(&mut self, input: &[u8]) -> Result<u64, String> {
        let module = match self.house.engine.load(input) {
            Ok(module) => module,
            Err(rejected) => {
                let text = rejected.to_string();
                presentable(&text, 8000)?;
                // Where the reader gave up says how far it came. What else is told has names of the module's own in it.
                let is_told = rejected.code() == "invalid";
                let words: String = text
                    .chars()
                    .filter(|character| is_told && character.is_ascii_lowercase())
                    .take(50)
                    .collect();
                return Ok(hash(&(rejected.code(), words)));
            }
        };
        let mut seen = 0;
        for rule in module.manifest.rules.iter().take(3) {
            seen ^= feature(&self.house.call(&module, &rule.id, &self.batch, None)?);
        }
        Ok(seen)
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        let all = [LOG, LOOKUP, PARAMS, STATE, TIMERS].concat();
        let loops = "(local $i i32) (loop (local.set $i (i32.add (local.get $i) (i32.const 1))) (br_if 0 (i32.lt_u (local.get $i) (i32.const 1000))))";
        let calls = "(call $scan (i32.const 0) (i32.const 0) (i64.const 0) (i32.const 9) (i32.const 32))
            (drop (call $put (i32.const 600) (i32.const 4) (i32.const 600) (i32.const 16) (i64.const 0) (i64.const 9)))
            (call $next (i64.const 99999) (i32.const 640)) (call $log (i32.const 1) (i32.const 1024) (i32.const 100))
            (call $find (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 640))";
        let title = r#"(data (i32.const 600) "A title")"#;
        let guests = [
            Guest::new(NOTHING),
            Guest::new(format!("{loops}{NOTHING}")),
            Guest::new(format!(
                "{calls}(i32.store8 (i32.const 16) (i32.const 0)) (i32.store (i32.const 24) (i32.const 0)) {NOTHING}"
            ))
            .imports(all),
            Guest::new(Answer::titled(7).times(3).body()).items(title),
        ];
        let shell = Shell {
            post_return: true,
            ..Shell::new(NOTHING)
        };
        guests.iter().map(Guest::component).chain([shell.component()]).collect()
    }

    fn most(&self) -> usize {
        64 << 10
    }
}
