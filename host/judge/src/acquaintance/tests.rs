use super::*;

/// Rows (time, user, address, country, application).
fn batch(rows: &[(i64, &str, &str, &str, &str)]) -> Batch {
    let mut group = Group {
        columns: vec![Column::Text(Vec::new()); 4],
        offsets: vec![0],
        ..Group::default()
    };
    for (time, user, address, country, application) in rows {
        group.times.push(*time);
        for (column, text) in group.columns.iter_mut().zip([user, address, country, application]) {
            let Column::Text(codes) = column else { panic!() };
            codes.push(u32::try_from(group.offsets.len() - 1).unwrap());
            group.dictionary.extend(text.bytes());
            group.offsets.push(u32::try_from(group.dictionary.len()).unwrap());
        }
    }
    Batch {
        groups: vec![group],
        order: vec![0; rows.len()],
        watermark: 0,
    }
}

const ROWS: [(i64, &str, &str, &str, &str); 3] = [
    (1000, "ada", "192.0.2.1", "Austria", "VPN"),
    (2000, "bob", "192.0.2.2", "Austria", "VPN"),
    (DAY * 3, "ada", "192.0.2.2", "Austria", "Payroll"),
];

fn learned(rows: &[(i64, &str, &str, &str, &str)]) -> Acquaintance {
    let mut known = Acquaintance::default();
    known.learn_batch(&batch(rows));
    known
}

#[test]
fn it_tells_users_and_the_tenant_apart_and_only_what_came_before() {
    let known = learned(&ROWS);
    let address = |user, before| known.first_seen(Trait::Address, user, "192.0.2.2", before);
    assert_eq!(address(Some("ada"), DAY), None);
    assert_eq!(address(Some("ada"), DAY * 4), Some(DAY * 3));
    assert_eq!(address(None, DAY), Some(2000));
    assert_eq!(
        known.first_seen(Trait::Country, Some("ada"), "Austria", DAY),
        Some(1000)
    );
    assert_eq!(
        known.first_seen(Trait::Country, Some("ada"), "VPN", DAY),
        None,
        "kinds do not mix"
    );
    assert_eq!(known.since(), Some(1000));
}

#[test]
fn what_is_not_renewed_for_90_days_is_gone() {
    let known = learned(&ROWS);
    assert_eq!(
        known.first_seen(Trait::Address, Some("ada"), "192.0.2.1", DAY * 90),
        Some(1000)
    );
    assert_eq!(
        known.first_seen(Trait::Address, Some("ada"), "192.0.2.1", DAY * 92),
        None
    );
}

#[test]
fn one_batch_or_three_and_a_restart_between_are_equal() {
    let mut whole = learned(&ROWS);
    let mut state = RuleState::default();
    state.apply(&whole.commit().changes);
    let mut piecewise = RuleState::default();
    for row in ROWS {
        let mut known = Acquaintance::restore(Position::start(), &piecewise);
        known.learn_batch(&batch(&[row]));
        piecewise.apply(&known.commit().changes);
    }
    assert_eq!(state, piecewise);
}

proptest::proptest! {
    /// What was seen of late is only a short cut: who has none, because they begin anew with each row, learns the same.
    #[test]
    fn what_is_remembered_of_late_changes_nothing(
        steps in proptest::collection::vec((0_i64..DAY * 5, 0_i64..DAY, 0_usize..60, 0_usize..3), 1..150),
    ) {
        let names: Vec<String> = (0..60).map(|user| format!("user-{user}")).collect();
        let places = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];
        let mut clock = DAY;
        let rows: Vec<_> = steps.iter().map(|(step, late, user, place)| {
            // Many rows of a day, a few days now and then, and some rows late.
            clock += if step % 7 == 0 { *step } else { step % 60_000 };
            let late = if late % 5 == 0 { *late } else { 0 };
            (clock - late, names[*user].as_str(), places[*place], "Austria", "VPN")
        }).collect();
        let mut whole = learned(&rows);
        let mut state = RuleState::default();
        state.apply(&whole.commit().changes);
        let mut piecewise = RuleState::default();
        for row in &rows {
            let mut known = Acquaintance::restore(Position::start(), &piecewise);
            known.learn_batch(&batch(&[*row]));
            piecewise.apply(&known.commit().changes);
        }
        proptest::prop_assert_eq!(state, piecewise);
    }
}
