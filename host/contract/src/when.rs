//! The condition that selects a rule's rows, evaluated by the host on dictionary codes before the rule is called.

use serde::{Deserialize, Serialize};

/// A tree of and, or, not over comparisons of one field.
///
/// A comparison with null is false, so its negation is true. As JSON: `{"all": [..]}`, `{"any": [..]}`, `{"not": ..}` or
/// `{"field": "result", "op": "in", "values": ["fraud"]}`; instead of `values`, `"param": "name"` refers to a parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", untagged)]
pub enum When {
    /// Every branch holds. Empty holds.
    All {
        /// The branches.
        all: Vec<When>,
    },
    /// One branch at least holds. Empty does not hold.
    Any {
        /// The branches.
        any: Vec<When>,
    },
    /// The branch does not hold.
    Not {
        /// The branch.
        not: Box<When>,
    },
    /// One field against values.
    Test(Test),
}

/// One field against values. Values are text; numbers and booleans compare by their canonical text (`true`, `42`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Test {
    /// The field's path in the source's log, e.g. `access_device.ip`. Need not be among the declared fields.
    pub field: String,
    /// How to compare.
    pub op: Op,
    /// What to compare with; empty for [`Op::Present`] and where `param` is given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// The parameter that holds the values (a text or a list of texts).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub param: Option<String>,
}

/// How a field is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Equal to one of the values.
    In,
    /// Not null.
    Present,
    /// Starts with one of the values.
    Prefix,
    /// Ends with one of the values.
    Suffix,
    /// Contains one of the values.
    Contains,
}

impl When {
    /// Holds for every row.
    #[must_use]
    pub fn always() -> Self {
        When::All { all: Vec::new() }
    }

    /// The paths that the tree reads, in order of appearance, repeats included.
    pub fn fields(&self) -> Vec<&str> {
        match self {
            When::All { all: branches } | When::Any { any: branches } => {
                branches.iter().flat_map(When::fields).collect()
            }
            When::Not { not } => not.fields(),
            When::Test(test) => vec![test.field.as_str()],
        }
    }
}
