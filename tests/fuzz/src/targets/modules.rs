//! Random core modules beside a good rule's memory: they get every host function and the memory that the host reads and writes,
//! and what they return is the answer of `evaluate`. So they pass admission often, unless they were given a proposal that
//! is off.

use arbitrary::Unstructured;
use picket_contract::Batch;
use picket_hostile::{Shell, host_imports, rows, spliced};
use wasm_smith::Config;

use super::Target;
use super::house::{House, feature, hash, presentable};

pub(crate) struct Modules {
    house: House,
    shell: Vec<u8>,
    /// Imports and export of the random module, as a module.
    shape: Vec<u8>,
    batch: Batch,
}

impl Modules {
    #[allow(clippy::expect_used, reason = "the text below is a module")]
    pub(crate) fn new() -> Self {
        let run = r#"(func (export "run") (param i32 i32 i32 i32 i32 i32 i64) (result i32) (i32.const 16))"#;
        let shape = format!("(module {} {run})", host_imports());
        let shell = Shell::new(
            "(call $run (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4) (local.get 5) (local.get 6))",
        );
        let import = r#"(import "wild" "run" (func $run (param i32 i32 i32 i32 i32 i32 i64) (result i32)))"#;
        let shell = Shell {
            between: format!(
                r#"(core module $wild {shape_items} {run})
                (core instance $wild (instantiate $wild (with "host" (instance $host)) (with "base" (instance $base))))"#,
                shape_items = host_imports()
            ),
            with: r#"(with "wild" (instance $wild))"#.to_owned(),
            main: format!("{import} {}", shell.main),
            ..shell
        };
        Modules {
            house: House::new(),
            shell: shell.component(),
            shape: wat::parse_str(shape).expect("a shape"),
            batch: rows(5, 1),
        }
    }

    fn config(&self, choice: u8) -> Config {
        // Now and then something is on that no rule may use.
        let odd = choice & 0xf0 == 0;
        Config {
            module_shape: Some(self.shape.clone()),
            max_funcs: 10,
            max_instructions: 400,
            max_globals: 8,
            max_tables: 2,
            max_types: 20,
            max_data_segments: 6,
            max_element_segments: 6,
            max_memory32_bytes: 1 << 24,
            max_table_elements: 5000,
            allow_start_export: choice & 1 != 0,
            bulk_memory_enabled: true,
            // Half of what they bring are references to host objects, which no rule may hold.
            reference_types_enabled: choice & 0x0c == 0,
            multi_value_enabled: true,
            saturating_float_to_int_enabled: true,
            sign_extension_ops_enabled: true,
            canonicalize_nans: false,
            simd_enabled: odd && choice & 2 != 0,
            relaxed_simd_enabled: false,
            tail_call_enabled: odd && choice & 4 != 0,
            exceptions_enabled: false,
            gc_enabled: false,
            memory64_enabled: false,
            threads_enabled: odd && choice & 8 != 0,
            custom_page_sizes_enabled: false,
            wide_arithmetic_enabled: false,
            extended_const_enabled: true,
            compact_imports_enabled: false,
            disallow_traps: choice & 2 != 0,
            ..Config::default()
        }
    }
}

impl Target for Modules {
    fn execute(&mut self, input: &[u8]) -> Result<u64, String> {
        let Some((choice, rest)) = input.split_first() else {
            return Ok(0);
        };
        let Ok(module) = wasm_smith::Module::new(self.config(*choice), &mut Unstructured::new(rest)) else {
            return Ok(1);
        };
        let bytes = spliced(&self.shell, 1, &module.to_bytes());
        let module = match self.house.engine.load(&bytes) {
            Ok(module) => module,
            Err(rejected) => {
                presentable(&rejected.to_string(), 4000)?;
                return Ok(hash(&rejected.code()));
            }
        };
        let answer = self.house.call(&module, "t", &self.batch, None)?;
        Ok(feature(&answer))
    }

    fn most(&self) -> usize {
        4096
    }
}
