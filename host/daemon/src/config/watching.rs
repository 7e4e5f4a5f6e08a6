//! `watch:`: how changes of files are seen.

use std::time::Duration;

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::Problem;
use super::tenant::Checker;

/// How changes of files are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Watching {
    pub(crate) how: Watch,
    /// From one look to the next, where the kernel does not tell.
    pub(crate) poll_interval: Duration,
}

/// Who says that a file has changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Watch {
    /// The kernel, where the file system lets it know; else we look.
    #[default]
    Auto,
    /// We look.
    Poll,
    /// Nobody: `picket reload` and SIGHUP.
    Off,
}

impl Watching {
    /// As the configuration has it.
    pub(crate) fn words(self) -> String {
        match self.how {
            Watch::Auto => "auto".to_owned(),
            Watch::Poll => format!("poll, every {} ms", self.poll_interval.as_millis()),
            Watch::Off => "off".to_owned(),
        }
    }
}

impl Default for Watching {
    fn default() -> Self {
        Watching {
            how: Watch::Auto,
            poll_interval: Duration::from_secs(5),
        }
    }
}

/// The section as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WatchingFile {
    #[serde(default)]
    files: Watch,
    poll_interval: Option<Spanned<String>>,
}

impl Checker<'_> {
    /// The section, checked.
    pub(super) fn watching(&self, file: &WatchingFile, problems: &mut Vec<Problem>) -> Watching {
        let default = Watching::default();
        let Some(given) = &file.poll_interval else {
            return Watching {
                how: file.files,
                ..default
            };
        };
        let interval = self.span(Some(given), "5s", problems);
        if interval != 0 && !(100..=3_600_000).contains(&interval) {
            let what = format!("watch: poll_interval is {}", given.value);
            problems.push(self.problem(given.referenced, what).hint("100ms at least, 1h at most"));
        }
        Watching {
            how: file.files,
            poll_interval: u64::try_from(interval).map_or(default.poll_interval, Duration::from_millis),
        }
    }
}
