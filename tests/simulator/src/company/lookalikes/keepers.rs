//! Accounts being kept in order, by people and programs.

use serde_json::json;

use super::harmless;
use crate::company::clock::SECOND;
use crate::company::dice::Dice;
use crate::company::people::User;
use crate::company::rows::activity::{Action, Actor, Target};
use crate::company::stage::{Mark, Stage};

/// The directory no longer has them, so the synchronisation removes them, all at once.
pub(super) fn leavers(stage: &mut Stage<'_>, dice: &mut Dice) -> Option<()> {
    let start = stage.moment(1, 22, dice);
    let count = dice.between(4, 9);
    let marks = removed(stage, Actor::Sync, count, start, dice);
    let who = stage.company.directory.clone();
    harmless(
        stage,
        "a directory sync deletes leavers",
        None,
        &marks,
        format!("{who} removed {count} users who left"),
    );
    Some(())
}

/// Not seen for months: Duo's own housekeeping.
pub(super) fn inactive(stage: &mut Stage<'_>, dice: &mut Dice) -> Option<()> {
    let start = stage.moment(1, 5, dice);
    let count = dice.between(2, 4);
    let marks = removed(stage, Actor::System, count, start, dice);
    harmless(
        stage,
        "inactive users are cleaned up",
        None,
        &marks,
        format!("the system removed {count} users not seen for months"),
    );
    Some(())
}

/// Users who are in none of the other logs: they left long ago.
fn removed(stage: &mut Stage<'_>, actor: Actor<'_>, count: i64, start: i64, dice: &mut Dice) -> Vec<Mark> {
    let mut marks = Vec::new();
    for number in 0..count {
        let colleague = stage.company.user(dice.index(stage.company.users.len()));
        let user = User {
            key: dice.key("DU"),
            name: format!("former.{}", colleague.name),
            ..colleague.clone()
        };
        let about = json!({"email": user.email, "realname": user.real_name, "status": "Disabled"});
        let action = Action {
            time_us: start + number * SECOND / 3,
            actor,
            name: "user_delete",
            v1: Some("user_delete"),
            target: Target::User(&user),
            details: None,
            about_target: Some(about),
            plain: true,
        };
        marks.extend(stage.act(&action, dice));
    }
    marks
}

/// Codes that were left over are taken back.
pub(super) fn codes_revoked(stage: &mut Stage<'_>, dice: &mut Dice) -> Option<()> {
    let user = stage.anybody()?;
    let actor = stage.helpdesk(dice);
    let start = stage.moment(8, 18, dice);
    let mut marks = Vec::new();
    for number in 0..dice.between(1, 3) {
        let action = Action {
            time_us: start + number * 20 * SECOND,
            actor,
            name: "bypass_delete",
            v1: Some("bypass_delete"),
            target: Target::Bypass(user),
            details: None,
            about_target: Some(json!({"bypass": "", "user_id": user.key})),
            plain: true,
        };
        marks.extend(stage.act(&action, dice));
    }
    harmless(
        stage,
        "old bypass codes are revoked",
        Some(user),
        &marks,
        format!("unused codes of {} were taken back", user.name),
    );
    Some(())
}
