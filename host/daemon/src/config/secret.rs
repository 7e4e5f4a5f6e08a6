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
                .map_err(|_| format!("the environment variable {name} is not set; export it, or use secret_key_file"))?
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
            return Err(format!("{} holds nothing", self.place()));
        }
        Ok(secret)
    }

    /// Whether both lead to the same secret. What a file or a variable holds is not looked at: it is read when it is needed.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        use secrecy::ExposeSecret as _;
        match (self, other) {
            (SecretSource::Inline(one), SecretSource::Inline(other)) => one.expose_secret() == other.expose_secret(),
            _ => format!("{self:?}") == format!("{other:?}"),
        }
    }

    /// Where a new secret has to be put, for people.
    pub(crate) fn place(&self) -> String {
        match self {
            SecretSource::Inline(_) => "the configuration file".to_owned(),
            SecretSource::Env(name) => format!("the environment variable {name}"),
            SecretSource::File(path) => path.display().to_string(),
            SecretSource::Credential(name) => match std::env::var_os("CREDENTIALS_DIRECTORY") {
                Some(directory) => Path::new(&directory).join(name).display().to_string(),
                None => format!("the systemd credential {name}"),
            },
        }
    }
}

/// The name in `${NAME}`.
pub(crate) fn variable(text: &str) -> Option<&str> {
    text.strip_prefix("${")?.strip_suffix('}')
}

/// Who besides the owner may read a file; none: nobody, or there is no such file.
pub(crate) fn readers(path: &Path) -> Option<&'static str> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    match (mode & 0o004 != 0, mode & 0o040 != 0) {
        (true, _) => Some("everybody"),
        (false, true) => Some("its group"),
        (false, false) => None,
    }
}

fn read_file(path: &Path) -> Result<SecretString, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("secret file {} cannot be read: {error}", path.display()))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn who_may_read_a_file_is_known_and_nothing_prints_the_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "hush-hush\n").unwrap();
        let who = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            readers(&path)
        };
        assert_eq!(who(0o644), Some("everybody"));
        assert_eq!(who(0o640), Some("its group"));
        assert_eq!(who(0o600), None);
        let source = SecretSource::File(path.clone());
        assert_eq!(source.read().unwrap().expose_secret(), "hush-hush");
        assert_eq!(source.place(), path.display().to_string());
        std::fs::write(&path, "\n").unwrap();
        assert!(source.read().unwrap_err().contains("holds nothing"));
        let inline = SecretSource::from_text("hush-hush");
        assert!(!format!("{inline:?}").contains("hush"));
        assert!(inline.is_same(&SecretSource::from_text("hush-hush")));
        assert!(!inline.is_same(&SecretSource::from_text("hush")) && !inline.is_same(&source));
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
