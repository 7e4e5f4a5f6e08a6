//! What intruders do on the last day, told from their side and their victims'.
//!
//! Each story is played one to three times with different people. A story writes down every single thing in it that an
//! analyst would want to hear about: the intruder who talks the helpdesk into a bypass code and comes in with it from
//! abroad is four entries.

mod accounts;
mod guessing;
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
/// A code that was handed out and used, seen as one.
pub(crate) const CODE_USED: &str = "bypass code created and soon used";
/// One password, or a list of leaked ones, tried on everybody.
pub(crate) const SPRAY: &str = "one address tries many users";
/// Messages for logins that there never were.
pub(crate) const NO_LOGIN: &str = "text messages for no login";
/// An application that lets everybody in without asking.
pub(crate) const SILENT: &str = "an application no longer asks Duo";

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

/// Those that came to the repertoire later: they are cast from whoever is left, so that the others stay as they were. The last
/// one, [`SILENT`], is told where the ordinary days are written (`silence`).
static LATER: [(&str, Story); 3] = [
    ("code used", accounts::code_used),
    ("spray", guessing::spray),
    ("no login", telephony::no_login),
];

/// Plays most stories.
pub(crate) fn plant(stage: &mut Stage<'_>) {
    play(&STORIES, stage);
}

/// Plays the others, once everybody else has a part.
pub(crate) fn plant_later(stage: &mut Stage<'_>) {
    play(&LATER, stage);
}

fn play(stories: &[(&str, Story)], stage: &mut Stage<'_>) {
    for (name, story) in stories {
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
