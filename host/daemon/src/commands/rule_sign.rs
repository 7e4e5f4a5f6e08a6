//! `picket rule sign`, `verify` and `keygen`: minisign's format, both ways.

use std::fs::OpenOptions;
use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use crate::cli::{Format, Keygen, Sign};
use crate::config::Signatures;
use crate::out::out;
use crate::signature::{ENDING, KeyError, PublicKey, SecretKey, TrustedKey};
use crate::when;

/// The variable that holds a key's password where nobody can be asked.
const PASSWORD: &str = "PICKET_KEY_PASSWORD";

/// Signs modules.
///
/// # Errors
/// The key cannot be read, or a signature not be written.
pub(crate) fn sign(arguments: &Sign) -> anyhow::Result<()> {
    let path = &arguments.key;
    let text = std::fs::read_to_string(path).with_context(|| format!("{}: cannot be read", path.display()))?;
    if let Some(who) = crate::config::readers(path) {
        eprintln!(
            "picket: {} may be read by {who}: chmod 600 {}",
            path.display(),
            path.display()
        );
    }
    let asked = || {
        let given =
            given(arguments.password_file.as_deref()).map_err(|error| KeyError::Machine(format!("{error:#}")))?;
        match given {
            Some(password) => Ok(password),
            None => asked(&format!("Password of {}: ", path.display())),
        }
    };
    let key = SecretKey::read(&text, asked).with_context(|| path.display().to_string())?;
    for module in &arguments.modules {
        let bytes = std::fs::read(module).with_context(|| format!("{}: cannot be read", module.display()))?;
        let name = module.file_name().unwrap_or_default().to_string_lossy();
        let comment = arguments.comment.clone();
        let comment = comment.unwrap_or_else(|| format!("{name}, signed {}", when::rfc3339(when::now())));
        let signature = key.sign(&bytes, &comment).with_context(|| path.display().to_string())?;
        let file = beside(module);
        // Whoever watches the directory never sees half of it.
        let fresh = file.with_extension("minisig.tmp");
        std::fs::write(&fresh, signature)
            .and_then(|()| std::fs::rename(&fresh, &file))
            .with_context(|| format!("{}: cannot be written", file.display()))?;
        match arguments.output.format {
            Format::Text => out!("{}  key {}  {comment}", file.display(), key.id()),
            Format::Ndjson => {
                let (module, file) = (module.display().to_string(), file.display().to_string());
                out!(
                    "{}",
                    json!({"module": module, "signature": file, "key_id": key.id(), "comment": comment})
                );
            }
        }
    }
    Ok(())
}

/// Trusts one key and no other.
///
/// # Errors
/// It is none.
pub(crate) fn only(key: &str) -> anyhow::Result<Signatures> {
    let public = PublicKey::written(key, Path::to_owned).map_err(anyhow::Error::msg)?;
    let name = if key.len() == 56 { "the key" } else { key };
    Ok(Signatures {
        trusted: vec![TrustedKey {
            name: name.to_owned(),
            key: public,
        }],
        required: true,
    })
}

/// Checks the signature beside each module. True: all hold.
///
/// # Errors
/// A module cannot be read, or no key is trusted.
pub(crate) fn verify(modules: &[PathBuf], signatures: &Signatures, format: Format) -> anyhow::Result<bool> {
    if signatures.trusted.is_empty() {
        bail!("no key is trusted: name one with --key, or in signatures: trusted_keys: of the configuration");
    }
    let signatures = Signatures {
        required: true,
        ..signatures.clone()
    };
    let mut all_hold = true;
    for module in modules {
        let bytes = std::fs::read(module).with_context(|| format!("{}: cannot be read", module.display()))?;
        let beside = match std::fs::read(beside(module)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            read => Some(read.with_context(|| format!("{}: cannot be read", beside(module).display()))?),
        };
        let name = module.file_name().unwrap_or_default().to_string_lossy();
        let outcome = signatures.check(&name, &bytes, beside.as_deref());
        all_hold &= outcome.is_ok();
        let module = module.display().to_string();
        match (format, outcome) {
            (Format::Text, Ok(Some(by))) => out!("good     {module}: {} (key {}): {}", by.key, by.key_id, by.comment),
            (Format::Text, Ok(None)) => out!("WRONG    {module}: not signed"),
            (Format::Text, Err(why)) => out!("WRONG    {module}: {why}"),
            (Format::Ndjson, outcome) => {
                let (by, wrong) = match outcome {
                    Ok(by) => (by, None),
                    Err(why) => (None, Some(why)),
                };
                out!(
                    "{}",
                    json!({"module": module, "ok": wrong.is_none(), "signed": by, "wrong": wrong})
                );
            }
        }
    }
    Ok(all_hold)
}

/// Makes a key.
///
/// # Errors
/// One of its files is there already, or cannot be written.
pub(crate) fn keygen(arguments: &Keygen) -> anyhow::Result<()> {
    let ending = |ending: &str| {
        let mut name = arguments.name.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let (secret, public) = (ending(".key"), ending(".pub"));
    for path in [&secret, &public] {
        if path.exists() {
            bail!(
                "{}: is there already, and a key that is lost signs no more: choose another name",
                path.display()
            );
        }
    }
    let password = match (arguments.no_password, given(arguments.password_file.as_deref())?) {
        (true, _) => None,
        (false, Some(password)) => Some(password),
        (false, None) => {
            let (one, two) = (asked("New password: ")?, asked("The same again: ")?);
            if one.expose_secret() != two.expose_secret() {
                bail!("the two passwords are not the same");
            }
            Some(one)
        }
    };
    if password
        .as_ref()
        .is_some_and(|password| password.expose_secret().is_empty())
    {
        bail!("the password is empty: say --no-password if that is meant");
    }
    let key = SecretKey::generate()?;
    let written = key.written(password.as_ref())?;
    let mut file = OpenOptions::new();
    let mut file = file
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&secret)
        .with_context(|| format!("{}: cannot be made", secret.display()))?;
    file.write_all(written.as_bytes()).and_then(|()| file.sync_all())?;
    let text = format!(
        "untrusted comment: minisign public key {}\n{}\n",
        key.id(),
        key.public()
    );
    std::fs::write(&public, text).with_context(|| format!("{}: cannot be written", public.display()))?;
    out!("{}  keep it secret, and a copy of it", secret.display());
    out!(
        "{}  in the configuration: signatures: {{trusted_keys: {{NAME: {}}}}}",
        public.display(),
        key.public()
    );
    Ok(())
}

fn beside(module: &Path) -> PathBuf {
    let mut name = module.as_os_str().to_owned();
    name.push(ENDING);
    name.into()
}

/// A password that is given without asking.
fn given(file: Option<&Path>) -> anyhow::Result<Option<SecretString>> {
    if let Some(file) = file {
        let text = std::fs::read_to_string(file).with_context(|| format!("{}: cannot be read", file.display()))?;
        return Ok(Some(text.lines().next().unwrap_or_default().into()));
    }
    Ok(std::env::var(PASSWORD).ok().map(SecretString::from))
}

fn asked(prompt: &str) -> Result<SecretString, KeyError> {
    if !std::io::stdin().is_terminal() {
        return Err(KeyError::NeedsPassword);
    }
    let password = rpassword::prompt_password(prompt).map_err(|error| KeyError::Machine(error.to_string()))?;
    Ok(password.into())
}
