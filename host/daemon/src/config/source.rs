//! One `source:`: which account, with which key, how often and how far back.

use serde_saphyr::{Location, Spanned};

use super::file::SourceFile;
use super::network::{is_loopback, wrong_hostname};
use super::tenant::Checker;
use super::{Problem, SecretSource, SourceConfig, secret};

/// Seconds. Duo asks collectors not to call a log endpoint more than once a minute; twice that is what the vendors' guides set.
const POLL_INTERVAL_MIN: f64 = 120.0;
/// Duo's logs go back so far, ms.
const RETENTION: i64 = 180 * 86_400_000;

impl Checker<'_> {
    pub(super) fn source(
        &self,
        source: &SourceFile,
        whole: Location,
        problems: &mut Vec<Problem>,
        warnings: &mut Vec<Problem>,
    ) -> Option<SourceConfig> {
        let before = problems.len();
        if !["duo", "duo_accounts"].contains(&source.kind.value.as_str()) {
            let what = format!("source type `{}` is unknown", source.kind.value);
            let hint = "`type: duo` for one account, `type: duo_accounts` for the parent key of the Accounts API";
            problems.push(self.problem(source.kind.referenced, what).hint(hint));
        }
        let api_hostname = self.text(&source.api_hostname, problems);
        let integration_key = self.text(&source.integration_key, problems);
        if let Some(hint) = wrong_hostname(&api_hostname) {
            let what = format!("api_hostname `{api_hostname}` is not a Duo API host");
            problems.push(self.problem(source.api_hostname.referenced, what).hint(hint));
        }
        let secret = self.secret(source, whole, problems, warnings);
        let is_here = is_loopback(&api_hostname);
        let poll_interval = self.poll_interval(source.poll_interval.as_ref(), is_here, problems);
        let signature = source
            .signature
            .as_ref()
            .map_or("v5", |signature| signature.value.as_str())
            .to_owned();
        if let Some(given) = &source.signature
            && !["v5", "v2-sha512", "v2-sha1"].contains(&given.value.as_str())
        {
            problems.push(
                self.problem(given.referenced, format!("signature `{}` is unknown", given.value))
                    .hint("leave it out: v5 works on every endpoint; v2-sha512 and v2-sha1 are for old front ends"),
            );
        }
        let collect = self.collect(
            source.collect.as_ref(),
            source,
            source.api_hostname.referenced,
            problems,
        );
        let start = self.span(source.start.as_ref(), "35d", problems);
        if let Some(given) = source.start.as_ref().filter(|_| start > RETENTION) {
            let what = "Duo keeps 180 days";
            problems.push(self.problem(given.referenced, what).hint("start: 180d, or less"));
        }
        let inventory_interval = self.span(source.inventory_interval.as_ref(), "6h", problems);
        if let Some(given) = &source.inventory_interval
            && !is_here
            && !(900_000..=7 * 86_400_000).contains(&inventory_interval)
        {
            let what = format!("inventory_interval is {}", given.value);
            let hint = "15m at least (each snapshot asks for every page anew), 7d at most";
            problems.push(self.problem(given.referenced, what).hint(hint));
        }
        let max_calls_per_minute = source.max_calls_per_minute.as_ref();
        if let Some(given) = max_calls_per_minute.filter(|calls| !(1..=300).contains(&calls.value)) {
            let what = format!("max_calls_per_minute is {}", given.value);
            let hint = "1 to 300, for all logs and the inventory of the account together; leave it out for 50";
            problems.push(self.problem(given.referenced, what).hint(hint));
        }
        let overlap = self.span(source.overlap.as_ref(), "15m", problems);
        let lateness = self.span(source.lateness.as_ref(), "0s", problems);
        let max_wait = self.span(source.max_wait.as_ref(), "10m", problems);
        let network = self.network(source, problems, warnings);
        (problems.len() == before).then_some(())?;
        Some(SourceConfig {
            api_hostname,
            integration_key,
            secret: secret?,
            account_id: None,
            poll_interval,
            collect,
            inventory_interval,
            max_calls_per_minute: max_calls_per_minute.map(|calls| calls.value),
            start,
            overlap,
            lateness,
            max_wait,
            signature,
            network: network?,
        })
    }

    /// How often a parent's list of children is read again, ms.
    pub(super) fn accounts_interval(&self, source: &SourceFile, problems: &mut Vec<Problem>) -> i64 {
        let interval = self.span(source.accounts_interval.as_ref(), "1h", problems);
        if let Some(given) = &source.accounts_interval
            && !is_loopback(&source.api_hostname.value)
            && !(300_000..=86_400_000).contains(&interval)
        {
            let what = format!("accounts_interval is {}", given.value);
            problems.push(self.problem(given.referenced, what).hint("5m at least, 1d at most"));
        }
        interval.max(100)
    }

    /// A text, or the environment variable it names.
    pub(super) fn text(&self, text: &Spanned<String>, problems: &mut Vec<Problem>) -> String {
        let Some(name) = secret::variable(&text.value) else {
            return text.value.trim().to_owned();
        };
        std::env::var(name).unwrap_or_else(|_| {
            problems.push(self.problem(text.referenced, format!("the environment variable {name} is not set")));
            String::new()
        })
    }

    fn secret(
        &self,
        source: &SourceFile,
        whole: Location,
        problems: &mut Vec<Problem>,
        warnings: &mut Vec<Problem>,
    ) -> Option<SecretSource> {
        let inline = source.secret_key.as_ref().map(|text| {
            let secret = SecretSource::from_text(&text.value);
            (secret, text.referenced)
        });
        let file = source.secret_key_file.as_ref();
        let file = file.map(|path| (SecretSource::File(self.file(&path.value)), path.referenced));
        let credential = source.secret_key_credential.as_ref();
        let credential = credential.map(|name| (SecretSource::Credential(name.value.clone()), name.referenced));
        let mut given = [inline, file, credential].into_iter().flatten();
        let Some((secret, location)) = given.next() else {
            problems.push(
                self.problem(whole, "the source has no secret key").hint(
                    "add `secret_key: ${DUO_SECRET_KEY}`, `secret_key_file: PATH` or `secret_key_credential: NAME`",
                ),
            );
            return None;
        };
        if given.next().is_some() {
            problems.push(
                self.problem(location, "the source has more than one secret key")
                    .hint("keep one of secret_key, secret_key_file and secret_key_credential"),
            );
        }
        self.readable_by_others(&secret, location, warnings);
        Some(secret)
    }

    /// Warns of a secret that others on this machine may read.
    pub(super) fn readable_by_others(&self, secret: &SecretSource, location: Location, warnings: &mut Vec<Problem>) {
        let file = match secret {
            SecretSource::Inline(_) => self.path,
            SecretSource::File(path) => path,
            // systemd sees to its own; a variable is in no file.
            SecretSource::Credential(_) | SecretSource::Env(_) => return,
        };
        if let Some(who) = secret::readers(file) {
            let what = format!("{} holds a secret and may be read by {who}", file.display());
            let hint = format!("chmod 600 {}", file.display());
            warnings.push(self.problem(location, what).hint(hint));
        }
    }

    /// ms.
    fn poll_interval(&self, given: Option<&Spanned<f64>>, is_here: bool, problems: &mut Vec<Problem>) -> u64 {
        let seconds = given.map_or(POLL_INTERVAL_MIN, |seconds| seconds.value);
        let least = if is_here { 0.05 } else { POLL_INTERVAL_MIN };
        if let Some(given) = given
            && !(least..=86_400.0).contains(&seconds)
        {
            problems.push(
                self.problem(given.referenced, format!("poll_interval is {seconds} seconds"))
                    .hint("120 at least (Duo refuses faster callers), 86400 at most"),
            );
        }
        std::time::Duration::try_from_secs_f64(seconds)
            .ok()
            .and_then(|interval| u64::try_from(interval.as_millis()).ok())
            .unwrap_or(120_000)
    }

    /// ms.
    pub(super) fn span(&self, given: Option<&Spanned<String>>, default: &str, problems: &mut Vec<Problem>) -> i64 {
        let text = given.map_or(default, |given| given.value.as_str());
        picket_contract::params::span(text).unwrap_or_else(|error| {
            problems.push(self.problem(given.map_or(Location::UNKNOWN, |given| given.referenced), error));
            0
        })
    }
}
