//! Where a secret comes from: an environment variable, a file, or a systemd credential.

use std::path::{Path, PathBuf};

use secrecy::SecretString;

/// Where to read a secret, again whenever it is asked for: a rotated secret needs no restart.
#[derive(Debug, Clone)]
pub(crate) enum SecretSource {
    /// In the configuration file itself (it should be 0600).
    Inline(SecretString),
    /// An environment variable.
    Env(String),
    /// A file, its last newline cut.
    File(PathBuf),
    /// A systemd credential: a file in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
}

impl SecretSource {
    /// `${NAME}` is a variable; all else is the secret itself.
    pub(crate) fn from_text(text: &str) -> Self {
        match variable(text) {
            Some(name) => SecretSource::Env(name.to_owned()),
            None => SecretSource::Inline(text.to_owned().into()),
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// What is missing and what to do, without the secret.
    pub(crate) fn read(&self) -> Result<SecretString, String> {
        let secret: SecretString = match self {
            SecretSource::Inline(secret) => secret.clone(),
            SecretSource::Env(name) => std::env::var(name)
                .map_err(|_| format!("the environment variable {name} is not set; export it, or use secret_key_file:"))?
                .into(),
            SecretSource::File(path) => read_file(path)?,
            SecretSource::Credential(name) => {
                let directory = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| {
                    format!("credential {name}: $CREDENTIALS_DIRECTORY is not set; add LoadCredential={name}:/path to the unit")
                })?;
                read_file(&Path::new(&directory).join(name))?
            }
        };
        use secrecy::ExposeSecret as _;
        if secret.expose_secret().is_empty() {
            return Err("the secret is empty".to_owned());
        }
        Ok(secret)
    }
}

/// The name in `${NAME}`.
pub(crate) fn variable(text: &str) -> Option<&str> {
    text.strip_prefix("${")?.strip_suffix('}')
}

fn read_file(path: &Path) -> Result<SecretString, String> {
    use std::os::unix::fs::PermissionsExt as _;
    let shown = path.display();
    let metadata = std::fs::metadata(path).map_err(|error| format!("secret file {shown}: {error}"))?;
    if metadata.permissions().mode() & 0o004 != 0 {
        return Err(format!(
            "secret file {shown} may be read by everybody; do: chmod 600 {shown}"
        ));
    }
    let text = std::fs::read_to_string(path).map_err(|error| format!("secret file {shown}: {error}"))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_file_that_everybody_may_read_is_refused_and_nothing_prints_the_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "hush-hush\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let source = SecretSource::File(path.clone());
        let error = source.read().unwrap_err();
        assert!(error.contains("chmod 600") && !error.contains("hush"), "{error}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(source.read().unwrap().expose_secret(), "hush-hush");
        let inline = SecretSource::from_text("hush-hush");
        assert!(!format!("{inline:?}").contains("hush"));
    }

    #[test]
    fn a_variable_is_read_when_asked_and_named_when_missing() {
        let SecretSource::Env(name) = SecretSource::from_text("${PICKET_TEST_NO_SUCH}") else {
            panic!("a variable")
        };
        assert!(
            SecretSource::Env(name)
                .read()
                .unwrap_err()
                .contains("PICKET_TEST_NO_SUCH is not set")
        );
    }
}
