//! Sees what changes in the files that matter, and has it taken over: `picket.yaml`, the customers' files, tables, modules and
//! their signatures.
//!
//! When something may have changed, every file is looked at ([`survey`]); who says so is the kernel or a clock ([`eyes`]). What has
//! been left alone for [`SETTLED`] is acted on; a file that is being written stays as it was, and holds up no other for longer
//! than [`PATIENCE`]. A hundred changes at once come to a few reloads, and the last sees them all.

mod eyes;
mod survey;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::daemon::{Areas, Daemon, lock};
use eyes::Eyes;
pub(crate) use eyes::Seeing;
use survey::{ARRIVED, Look};
pub(crate) use survey::{Places, SETTLED, Settling, Survey, is_configuration, is_hidden, is_tenants};

/// How long what has settled waits for what has not.
const PATIENCE: Duration = Duration::from_secs(1);

/// Watches until cancelled.
pub(crate) async fn watch(daemon: Arc<Daemon>, shutdown: CancellationToken) {
    let mut eyes = Eyes::default();
    // What the daemon was started with is read again at once: it may have changed since, unseen.
    let mut acted: Option<Survey> = None;
    let mut waiting_since: Option<Instant> = None;
    loop {
        let config = daemon.config();
        let places = Places::of(&config);
        eyes.turn_to(&places, &Survey::of(&places), config.watching);
        *lock(&daemon.seeing) = eyes.seeing.clone();
        let pause = if eyes.seeing == Seeing::Off {
            None
        } else {
            // After watching has begun, so that nothing falls between.
            let survey = Survey::of(&places);
            let now = Instant::now();
            let arrived = eyes.arrived();
            let settled = span(&eyes.seeing);
            let unsettled = lock(&daemon.settling).unsettled_but(&survey, now, settled, &arrived);
            let (areas, rest) = due(acted.as_ref(), &survey, &unsettled);
            let is_waiting = !unsettled.is_empty();
            let waited = waiting_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
            waiting_since = is_waiting.then(|| waiting_since.unwrap_or(now));
            if (areas.configuration || areas.rules) && (!is_waiting || waited >= PATIENCE) {
                daemon.files_changed(areas, unsettled).await;
                acted = Some(rest);
                // It may have changed meanwhile, or have changed what is to be looked at.
                continue;
            }
            if is_waiting {
                // Where something was renamed into its place, the next look is for it.
                let soon = if arrived.is_empty() { settled / 2 } else { ARRIVED };
                Some(soon)
            } else {
                eyes.seeing.every()
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = eyes.woken() => {}
            () = sleep(pause) => {}
            // Watching may be switched on again.
            () = sleep(Some(Duration::from_secs(1))), if eyes.seeing == Seeing::Off => {}
        }
    }
}

async fn sleep(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}

/// How long a file must be left alone. Where we look now and then, two looks have to see the same.
fn span(seeing: &Seeing) -> Duration {
    match seeing {
        Seeing::Looking { every, .. } => (*every).max(SETTLED),
        Seeing::Blind | Seeing::Told | Seeing::Off => SETTLED,
    }
}

/// What has changed since it was acted on, less what is being written; and what has been acted on once that is.
fn due(acted: Option<&Survey>, now: &Survey, unsettled: &BTreeSet<PathBuf>) -> (Areas, Survey) {
    let Some(acted) = acted else {
        let all = Areas {
            configuration: true,
            rules: true,
        };
        return (all, now.clone());
    };
    let settled = |acted: &BTreeMap<PathBuf, Look>, now: &BTreeMap<PathBuf, Look>| {
        let mut settled = now.clone();
        for path in unsettled {
            match acted.get(path) {
                Some(look) if now.contains_key(path) => settled.insert(path.clone(), *look),
                _ => settled.remove(path),
            };
        }
        settled
    };
    let rest = Survey {
        configuration: settled(&acted.configuration, &now.configuration),
        rules: settled(&acted.rules, &now.rules),
    };
    let areas = Areas {
        configuration: rest.configuration != acted.configuration,
        rules: rest.rules != acted.rules,
    };
    (areas, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_being_written_is_not_acted_on_and_not_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::create_dir(at("rules")).unwrap();
        let places = Places {
            files: vec![at("picket.yaml")],
            directories: Vec::new(),
            rules: at("rules"),
        };
        let look = || Survey::of(&places);
        let areas = |configuration, rules| Areas { configuration, rules };
        let nobody = BTreeSet::new();
        let empty = look();
        assert_eq!(due(None, &empty, &nobody), (areas(true, true), empty.clone()));
        assert_eq!(due(Some(&empty), &empty, &nobody).0, areas(false, false));

        std::fs::write(at("rules/slow.wasm"), "1").unwrap();
        std::fs::write(at("rules/quick.wasm"), "1").unwrap();
        let slow = BTreeSet::from([at("rules/slow.wasm")]);
        let (found, acted) = due(Some(&empty), &look(), &slow);
        assert_eq!(found, areas(false, true));
        assert_eq!(
            due(Some(&acted), &look(), &slow).0,
            areas(false, false),
            "the quick one is done"
        );
        assert_eq!(
            due(Some(&acted), &look(), &nobody).0,
            areas(false, true),
            "the slow one is left to do"
        );

        std::fs::write(at("picket.yaml"), "1").unwrap();
        let writing = BTreeSet::from([at("picket.yaml")]);
        let all = look();
        assert_eq!(due(Some(&all), &all, &writing).0, areas(false, false));
        std::fs::write(at("picket.yaml"), "12").unwrap();
        let (found, rest) = due(Some(&all), &look(), &writing);
        assert_eq!((found, &rest), (areas(false, false), &all), "it counts as it was");
        assert_eq!(due(Some(&rest), &look(), &nobody).0, areas(true, false));
    }
}
