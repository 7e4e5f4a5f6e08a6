//! What to read of one log, compiled: a trie over the paths, and for each column where its value comes from.
//!
//! A log as rules name it may be fed by more than one of Duo's (`admin`), so there is one [`Variant`] for each feed; all
//! variants of a log give the same columns.

use std::collections::BTreeMap;
use std::sync::Arc;

use picket_contract::FieldType;

use crate::normal::{Mapping, NullWords, Shown};
use crate::path::segments;
use crate::permission::View;
use crate::phone::Mask;
use crate::v1;

/// A column that some rule reads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot {
    pub(crate) path: String,
    pub(crate) kind: FieldTypeOrd,
    pub(crate) view: View,
}

/// [`FieldType`] with an order, so that plans do not depend on the order of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum FieldTypeOrd {
    Text,
    S64,
    F64,
    Bool,
    Texts,
}

impl From<FieldType> for FieldTypeOrd {
    fn from(kind: FieldType) -> Self {
        match kind {
            FieldType::Text => FieldTypeOrd::Text,
            FieldType::S64 => FieldTypeOrd::S64,
            FieldType::F64 => FieldTypeOrd::F64,
            FieldType::Bool => FieldTypeOrd::Bool,
            FieldType::Texts => FieldTypeOrd::Texts,
        }
    }
}

/// One log of a tenant.
#[derive(Debug)]
pub(crate) struct Layout {
    /// Tenants with the same rules share it.
    pub(crate) reads: Arc<Reads>,
    /// What phone numbers are masked with.
    pub(crate) mask: Arc<Mask>,
}

/// One log: its columns and how each feed fills them.
#[derive(Debug)]
pub(crate) struct Reads {
    pub(crate) log: String,
    /// Sorted, each once.
    pub(crate) slots: Vec<Slot>,
    variants: Vec<(&'static str, Variant)>,
    own: Variant,
}

/// How one of Duo's logs fills the columns.
#[derive(Debug, Default)]
pub(crate) struct Variant {
    pub(crate) nodes: Vec<Node>,
    pub(crate) leaves: usize,
    /// One for each slot.
    pub(crate) inputs: Vec<Input>,
    pub(crate) mappings: Vec<Mapping>,
    pub(crate) subject: Option<SubjectReads>,
}

/// One place in the JSON that is on the way to something read.
#[derive(Debug, Default)]
pub(crate) struct Node {
    children: Vec<(Box<str>, u32)>,
    /// The bits of the children's keys, so that a look tells most other keys apart.
    keys: u64,
    /// The cell its own value goes to.
    pub(crate) leaf: Option<u32>,
    /// An object or an array here is wanted as JSON text.
    pub(crate) wants_json: bool,
    /// An array here is wanted as JSON text, not only element by element.
    pub(crate) wants_array_json: bool,
    /// An array here is wanted element by element.
    pub(crate) wants_list: bool,
    /// The cells that a value here may fill: its own and those below it.
    pub(crate) leaves: Box<[u32]>,
}

impl Node {
    /// The child of this key.
    #[inline]
    pub(crate) fn child(&self, key: &str) -> Option<u32> {
        if self.keys & Node::key_bit(key) == 0 {
            return None;
        }
        self.children
            .iter()
            .find(|(name, _)| **name == *key)
            .map(|(_, child)| *child)
    }

    /// The children.
    pub(crate) fn children(&self) -> impl Iterator<Item = u32> {
        self.children.iter().map(|(_, child)| *child)
    }

    /// Whether some path goes on from here.
    pub(crate) fn leads_on(&self) -> bool {
        !self.children.is_empty()
    }

    /// One bit of 64, by the key's length and both its ends.
    #[inline]
    fn key_bit(key: &str) -> u64 {
        let ends = key.as_bytes().first().zip(key.as_bytes().last());
        let ends = ends.map_or(0, |(first, last)| u32::from(*first) + 5 * u32::from(*last));
        1 << (ends.wrapping_add(7 * key.len() as u32) % 64)
    }
}

/// Where a column's value comes from.
#[derive(Debug)]
pub(crate) enum Input {
    Read(Read),
    SubjectUser,
    SubjectKey,
}

/// The first of some cells that is not null, its texts mapped.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) cells: Vec<CellRead>,
    /// Index into [`Variant::mappings`]; none: as received.
    pub(crate) mapping: Option<usize>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct CellRead {
    pub(crate) leaf: u32,
    /// Objects and arrays count as null.
    pub(crate) scalar: bool,
}

/// What tells the Duo user an event is about.
#[derive(Debug)]
pub(crate) enum SubjectReads {
    /// These two.
    Direct { user: Read, key: Read },
    /// The target where it is a user, its owner, or the actor.
    Acted(Box<ActedReads>),
}

#[derive(Debug)]
pub(crate) struct ActedReads {
    pub(crate) action: Read,
    pub(crate) target_type: Read,
    pub(crate) target_name: Read,
    pub(crate) target_key: Read,
    pub(crate) details_user: Read,
    pub(crate) details_key: Read,
    pub(crate) actor_type: Read,
    pub(crate) actor_name: Read,
    pub(crate) actor_key: Read,
}

impl Layout {
    /// A log of which these columns are read.
    pub(crate) fn new(log: &str, slots: Vec<Slot>, mask: Arc<Mask>) -> Self {
        let reads = Arc::new(Reads::new(log, slots));
        Layout { reads, mask }
    }

    pub(crate) fn slot(&self, path: &str, kind: FieldType, view: View) -> Option<usize> {
        self.reads.slot(path, kind, view)
    }

    /// How this of Duo's logs fills the columns.
    pub(crate) fn variant(&self, duo_log: &str) -> &Variant {
        self.reads.variant(duo_log)
    }
}

impl Reads {
    pub(crate) fn new(log: &str, mut slots: Vec<Slot>) -> Self {
        slots.sort();
        slots.dedup();
        let variants = match log {
            "admin" => vec![("administrator", Variant::new(log, "administrator", &slots))],
            _ => Vec::new(),
        };
        let own = Variant::new(log, if log == "admin" { "activity" } else { log }, &slots);
        Reads {
            log: log.to_owned(),
            slots,
            variants,
            own,
        }
    }

    fn slot(&self, path: &str, kind: FieldType, view: View) -> Option<usize> {
        let kind = FieldTypeOrd::from(kind);
        self.slots
            .binary_search_by(|slot| (slot.path.as_str(), slot.kind, slot.view).cmp(&(path, kind, view)))
            .ok()
    }

    fn variant(&self, duo_log: &str) -> &Variant {
        self.variants
            .iter()
            .find(|(name, _)| *name == duo_log)
            .map_or(&self.own, |(_, variant)| variant)
    }
}

impl Variant {
    fn new(log: &str, duo_log: &str, slots: &[Slot]) -> Self {
        let mut builder = Builder {
            log,
            duo_log,
            variant: Variant::default(),
            mappings: BTreeMap::new(),
        };
        builder.variant.nodes.push(Node::default());
        let inputs = slots.iter().map(|slot| builder.input(slot)).collect();
        let subject = slots
            .iter()
            .any(|slot| slot.path.starts_with("subject."))
            .then(|| builder.subject())
            .flatten();
        let mut variant = Variant {
            inputs,
            subject,
            ..builder.variant
        };
        variant.gather_leaves();
        variant
    }

    /// Children have greater numbers than their parents.
    fn gather_leaves(&mut self) {
        for number in (0..self.nodes.len()).rev() {
            let Some(node) = self.nodes.get(number) else { continue };
            let below = node.children().filter_map(|child| self.nodes.get(child as usize));
            let leaves = below.flat_map(|child| child.leaves.iter().copied());
            let leaves: Box<[u32]> = node.leaf.into_iter().chain(leaves).collect();
            if let Some(node) = self.nodes.get_mut(number) {
                node.leaves = leaves;
            }
        }
    }
}

struct Builder<'a> {
    log: &'a str,
    duo_log: &'a str,
    variant: Variant,
    mappings: BTreeMap<String, usize>,
}

impl Builder<'_> {
    fn input(&mut self, slot: &Slot) -> Input {
        match slot.path.as_str() {
            _ if slot.view == View::Denied => Input::Read(Read::default()),
            "subject.user" => Input::SubjectUser,
            "subject.key" => Input::SubjectKey,
            path => Input::Read(self.read(path, slot.kind, slot.view)),
        }
    }

    /// A path as rules name it, in this feed's terms.
    fn read(&mut self, path: &str, kind: FieldTypeOrd, view: View) -> Read {
        if view == View::Denied {
            return Read::default();
        }
        let (path, raw) = path.strip_prefix("raw.").map_or((path, false), |path| (path, true));
        let (path, part) = match picket_catalogue::part_of(self.log, path).filter(|_| !raw) {
            Some((number, part)) => (number, Some(part)),
            None => (path, None),
        };
        let (path, derived) = match path {
            "access_device.network" => (self.address(), Some(Mapping::Network)),
            "access_device.ip_hostname" => (self.address(), Some(Mapping::Host)),
            "auth_device.number" => ("auth_device.name", Some(Mapping::Inside(Shown::Pseudonym))),
            path => (path, None),
        };
        let (from, mapping) = if self.log == "admin" && self.duo_log == "administrator" {
            match v1::source(path) {
                Some((from, mapping)) => {
                    let from = from.into_iter().map(|from| (from, false)).collect();
                    (from, mapping.guarded(self.log, path))
                }
                None => return Read::default(),
            }
        } else {
            (self.places(path), Mapping::of(self.log, path))
        };
        let mapping = derived.unwrap_or(mapping);
        let mapping = match (part, view) {
            (Some(part), _) => mapping.part(part),
            (None, View::Clear) => mapping.clear(),
            (None, _) => mapping,
        };
        // A number that is asked for as one would come unmasked.
        if !raw && mapping.hides_digits() && !matches!(kind, FieldTypeOrd::Text | FieldTypeOrd::Texts) {
            return Read::default();
        }
        let cells = from
            .iter()
            .filter_map(|(path, scalar)| self.cell(path, kind, *scalar))
            .collect();
        Read {
            cells,
            mapping: (!raw).then(|| self.mapping(mapping)),
        }
    }

    /// Where a log has the access device's address.
    fn address(&self) -> &'static str {
        match self.log {
            "authentication" => "access_device.ip",
            "administrator" => "description.ip_address",
            "trust_monitor" => "surfaced_auth.access_device.ip",
            _ => "access_device.ip.address",
        }
    }

    /// The places where Duo has put a field over the years; `true`: only a scalar counts.
    fn places(&self, path: &str) -> Vec<(String, bool)> {
        let mut places = vec![(path.to_owned(), false)];
        match self.duo_log {
            "activity" => match path {
                // In 2022 the action was a plain string; for a while the object stood beside it.
                "action.name" => {
                    places.extend([("action".to_owned(), true), ("action_extended.name".to_owned(), false)])
                }
                "access_device.ip.address" => places.push(("access_device.ip".to_owned(), true)),
                path => {
                    let details = path.strip_prefix("action.").filter(|rest| rest.starts_with("details"));
                    places.extend(details.map(|details| (format!("action_extended.{details}"), false)));
                }
            },
            // Activity's shape of an address, should it come here too.
            "authentication" | "trust_monitor" if path.ends_with("_device.ip") => {
                places = vec![(path.to_owned(), true), (format!("{path}.address"), true)];
            }
            "trust_monitor" if path == "surfaced_timestamp" => places.push(("surfaced".to_owned(), true)),
            // v1 has no `ts`.
            "telephony" if path == "ts" => {
                places.extend(["isotimestamp", "timestamp"].map(|path| (path.to_owned(), true)));
            }
            _ => {}
        }
        places
    }

    fn cell(&mut self, path: &str, kind: FieldTypeOrd, scalar: bool) -> Option<CellRead> {
        let mut at = 0u32;
        for segment in segments(path)? {
            let next = self.variant.nodes.len() as u32;
            let node = self.variant.nodes.get_mut(at as usize)?;
            at = match node.children.iter().find(|(key, _)| **key == *segment) {
                Some((_, child)) => *child,
                None => {
                    node.children.push((segment.into(), next));
                    node.keys |= Node::key_bit(segment);
                    self.variant.nodes.push(Node::default());
                    next
                }
            };
        }
        let leaves = self.variant.leaves as u32;
        let node = self.variant.nodes.get_mut(at as usize)?;
        let leaf = *node.leaf.get_or_insert(leaves);
        node.wants_json |= !scalar && matches!(kind, FieldTypeOrd::Text | FieldTypeOrd::Texts);
        node.wants_array_json |= !scalar && kind == FieldTypeOrd::Text;
        node.wants_list |= !scalar && kind == FieldTypeOrd::Texts;
        self.variant.leaves = self.variant.leaves.max(leaf as usize + 1);
        Some(CellRead { leaf, scalar })
    }

    fn mapping(&mut self, mapping: Mapping) -> usize {
        let next = self.variant.mappings.len();
        let at = *self.mappings.entry(format!("{mapping:?}")).or_insert(next);
        if at == next {
            self.variant.mappings.push(mapping);
        }
        at
    }

    /// A user may be called as they like, their number included: a name is no number here.
    fn subject(&mut self) -> Option<SubjectReads> {
        let text = FieldTypeOrd::Text;
        match self.log {
            "authentication" => {
                let (user, key) = (
                    self.read("user.name", text, View::Clear),
                    self.read("user.key", text, View::Clear),
                );
                Some(SubjectReads::Direct { user, key })
            }
            "trust_monitor" => Some(SubjectReads::Direct {
                user: self.either("surfaced_auth.user.name", "enabled_for.name"),
                key: self.either("surfaced_auth.user.key", "enabled_for.key"),
            }),
            log if picket_catalogue::is_inventory(log) => Some(SubjectReads::Direct {
                user: self.read("user.name", text, View::Clear),
                key: self.read("user.key", text, View::Clear),
            }),
            "offline_enrollment" => Some(SubjectReads::Direct {
                user: self.read("username", text, View::Clear),
                key: Read::default(),
            }),
            "activity" | "admin" => Some(SubjectReads::Acted(Box::new(ActedReads {
                action: self.read("action.name", text, View::Clear),
                target_type: self.read("target.type", text, View::Clear),
                target_name: self.read("target.name", text, View::Clear),
                target_key: self.read("target.key", text, View::Clear),
                details_user: self.either("target.details.uname", "target.details.username"),
                details_key: self.read("target.details.user_id", text, View::Clear),
                actor_type: self.read("actor.type", text, View::Clear),
                actor_name: self.read("actor.name", text, View::Clear),
                actor_key: self.read("actor.key", text, View::Clear),
            }))),
            "administrator" => {
                let action = self.read("action", text, View::Clear);
                let target_type = Read {
                    cells: action.cells.clone(),
                    mapping: Some(self.mapping(Mapping::V1TargetType)),
                };
                let actor_name = self.read("username", text, View::Clear);
                let actor_type = Read {
                    cells: actor_name.cells.clone(),
                    mapping: Some(self.mapping(Mapping::V1ActorType)),
                };
                Some(SubjectReads::Acted(Box::new(ActedReads {
                    action,
                    target_type,
                    target_name: self.read("object", text, View::Clear),
                    target_key: Read::default(),
                    details_user: self.either("description.uname", "description.username"),
                    details_key: self.read("description.user_id", text, View::Clear),
                    actor_type,
                    actor_name,
                    actor_key: Read::default(),
                })))
            }
            _ => None,
        }
    }

    fn either(&mut self, one: &str, other: &str) -> Read {
        let mut read = self.read(one, FieldTypeOrd::Text, View::Clear);
        read.cells
            .extend(self.read(other, FieldTypeOrd::Text, View::Clear).cells);
        read.mapping = Some(self.mapping(Mapping::Plain(NullWords::Empty)));
        read
    }
}
