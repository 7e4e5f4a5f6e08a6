//! Batches to call modules with.

use picket_contract::{Batch, Column, Group, NULL};

/// Rows of one source with text columns, numbered from 1.
#[must_use]
pub fn rows(count: usize, columns: usize) -> Batch {
    let mut group = Group {
        offsets: vec![0],
        ..Group::default()
    };
    for value in 0..50 {
        group.dictionary.extend(format!("value number {value}").bytes());
        group.offsets.push(u32::try_from(group.dictionary.len()).unwrap());
    }
    group.events = (1..=count as u64).collect();
    group.times = (0..count as i64).map(|row| row * 1000).collect();
    group.late = vec![0; count];
    for column in 0..columns {
        let code = |row: usize| {
            if row % 7 == column {
                NULL
            } else {
                ((row * (column + 3)) % 50) as u32
            }
        };
        group.columns.push(Column::Text((0..count).map(code).collect()));
    }
    Batch {
        groups: vec![group],
        order: vec![0; count],
        watermark: count as i64 * 1000,
    }
}
