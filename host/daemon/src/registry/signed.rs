//! The signature beside a module's file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::{self, Content};
use crate::config::Signatures;
use crate::signature::{ENDING, MOST_BYTES, Signer};

/// Who signed a module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Signed {
    /// None: nobody whom the operator trusts, and nobody had to.
    pub(crate) by: Option<Signer>,
    /// Tells one signature's file from another; empty: there is none, or signatures do not count.
    pub(super) mark: String,
    /// What the signature's file holds.
    pub(super) file: Option<Arc<[u8]>>,
}

impl Signed {
    /// `, signed by NAME (COMMENT)`; empty: by nobody who is trusted.
    pub(super) fn words(&self) -> String {
        match &self.by {
            None => String::new(),
            Some(signer) if signer.comment.is_empty() => format!(", signed by {}", signer.key),
            Some(signer) => format!(", signed by {} ({})", signer.key, signer.comment),
        }
    }
}

/// What lies beside a module.
pub(super) struct Beside {
    bytes: Result<Option<Vec<u8>>, String>,
    /// As [`Signed::mark`].
    pub(super) mark: String,
}

/// The signature's file of a module's.
pub(super) fn path(module: &Path) -> PathBuf {
    let mut name = module.as_os_str().to_owned();
    name.push(ENDING);
    name.into()
}

impl Beside {
    /// Reads it, if signatures count.
    pub(super) fn read(module: &Path, signatures: &Signatures) -> Self {
        if !signatures.count() {
            return Beside {
                bytes: Ok(None),
                mark: String::new(),
            };
        }
        let path = path(module);
        let bytes = match files::read(&path, MOST_BYTES) {
            Ok(Content::Bytes(bytes)) => Ok(Some(bytes)),
            Ok(Content::Unsettled) => Err("it is being written".to_owned()),
            Ok(Content::TooMany(bytes)) => Err(format!(
                "it has {bytes} bytes, and no signature has more than {MOST_BYTES}"
            )),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.to_string()),
        };
        let bytes = bytes.map_err(|why| format!("{}: {why}", path.file_name().unwrap_or_default().display()));
        let mark = match &bytes {
            Ok(None) => String::new(),
            Ok(Some(bytes)) => blake3::hash(bytes).to_hex().to_string(),
            Err(why) => why.clone(),
        };
        Beside { bytes, mark }
    }

    /// The signature that a version is kept with.
    pub(super) fn kept(bytes: Option<Vec<u8>>) -> Self {
        let mark = bytes.as_ref().map(|bytes| blake3::hash(bytes).to_hex().to_string());
        Beside {
            bytes: Ok(bytes),
            mark: mark.unwrap_or_default(),
        }
    }

    /// Checks it.
    ///
    /// # Errors
    /// Why the module is refused, in words.
    pub(super) fn check(&self, module: &Path, content: &[u8], signatures: &Signatures) -> Result<Signed, String> {
        let beside = self.bytes.as_ref().map_err(Clone::clone)?;
        let name = module.file_name().unwrap_or_default().to_string_lossy();
        Ok(Signed {
            by: signatures.check(&name, content, beside.as_deref())?,
            mark: self.mark.clone(),
            file: beside.as_deref().map(Arc::from),
        })
    }
}
