//! What intruders do on the last day, told from their side and their victims'.
//!
//! Each story is played one to three times with different people. A story writes down every single thing in it that an
//! analyst would want to hear about: the intruder who talks the helpdesk into a bypass code and comes in with it from
//! abroad is four entries.

mod accounts;
mod helpdesk;
mod prompts;
mod remembered;
mod telephony;

pub(crate) use self::helpdesk::enrolment;
use super::dice::Dice;
use super::people::User;
use super::stage::{Mark, Stage};
use crate::model::Kind;

/// Many prompts in a few minutes, none approved.
pub(crate) const REFUSED: &str = "push fatigue, refused";
/// The same, and then one was approved.
pub(crate) const GAVE_IN: &str = "push fatigue, gave in";
/// A prompt the user reported.
pub(crate) const FRAUD: &str = "user reports fraud";
/// An account for which Duo does not ask.
pub(crate) const BYPASS_STATUS: &str = "bypass status user logs in";
/// A code that stands in for the second factor, used.
pub(crate) const BYPASS_USED: &str = "bypass code used to log in";
/// The same, handed out.
pub(crate) const BYPASS_CREATED: &str = "bypass code created by an admin";
/// A user removed by a person.
pub(crate) const DELETED: &str = "user deleted by an admin";
/// Let in from a country where the user never was.
pub(crate) const NEW_COUNTRY: &str = "login from a new country";
/// A stolen remembered-device token, used from here and there.
pub(crate) const MANY_PLACES: &str = "remembered device used from many places";
/// The same, used by a program.
pub(crate) const TOO_OFTEN: &str = "remembered device used far too often";
/// Messages sent for the money in them.
pub(crate) const PUMPING: &str = "sms pumping to one number";
/// The helpdesk was talked into it.
pub(crate) const TAKEOVER: &str = "helpdesk reset takeover";

/// A story, played once.
type Story = fn(&mut Stage<'_>, &mut Dice) -> Option<()>;

static STORIES: [(&str, Story); 12] = [
    ("refused", prompts::refused),
    ("gave in", prompts::gave_in),
    ("fraud", prompts::fraud),
    ("bypass status", accounts::bypass_status),
    ("bypass code", accounts::bypass_code),
    ("deleted", accounts::deleted),
    ("code created", accounts::code_created),
    ("new country", accounts::new_country),
    ("many places", remembered::many_places),
    ("too often", remembered::too_often),
    ("pumping", telephony::pumping),
    ("takeover", helpdesk::takeover),
];

/// Plays all stories.
pub(crate) fn plant(stage: &mut Stage<'_>) {
    for (name, story) in STORIES {
        let mut dice = Dice::new(stage.company.seed, name, 0);
        for _ in 0..dice.weighted(&[(1, 6), (2, 3), (3, 1)]) {
            // Nobody suitable left: the story is not told.
            let _ = story(stage, &mut dice);
        }
    }
}

/// Notes an attack.
fn attack(stage: &mut Stage<'_>, story: &str, user: &User, marks: &[Mark], note: String) {
    stage.plant(Kind::Attack, story, Some(user), marks, note);
}
