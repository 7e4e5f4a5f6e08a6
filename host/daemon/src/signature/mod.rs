//! Signed modules: ed25519 in minisign's format, `x.wasm.minisig` beside `x.wasm`.
//!
//! What is signed is the module's bytes; the signature's trusted comment is signed with them, and shown. A signature is checked
//! before anything else is done with the module: neither the compiler nor a parser of ours meets bytes of strangers where
//! signatures are required. One that is there and does not hold is refused even where none is required, as long as some key is
//! trusted: somebody changed one of the two files, or means another key.

mod secret;

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minisign_verify::{Error, Signature};
use serde::Serialize;

use crate::config::Signatures;
pub(crate) use secret::{KeyError, SecretKey};

/// What a signature's file is called: the module's name and this.
pub(crate) const ENDING: &str = ".minisig";
/// Largest file of a signature, bytes.
pub(crate) const MOST_BYTES: u64 = 4096;

/// A key that signatures are checked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicKey {
    key: minisign_verify::PublicKey,
    /// As minisign prints it: 16 hexadecimal digits.
    pub(crate) id: String,
}

/// A key whose signatures count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TrustedKey {
    /// For people.
    pub(crate) name: String,
    pub(crate) key: PublicKey,
}

/// Who signed a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Signer {
    /// What the configuration calls the key.
    pub(crate) key: String,
    /// Its id: 16 hexadecimal digits.
    pub(crate) key_id: String,
    /// What was signed with the module.
    pub(crate) comment: String,
}

impl PublicKey {
    /// A key as people write it: itself, or the file it is in. `place`: where a path leads.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn written(text: &str, place: impl Fn(&Path) -> PathBuf) -> Result<Self, String> {
        let text = text.trim();
        // A key is 42 bytes: 56 characters that begin with "Ed" in base64.
        if text.len() == 56 && text.starts_with("RW") && !text.ends_with(".pub") {
            return PublicKey::of(text);
        }
        let path = place(Path::new(text));
        let written =
            std::fs::read_to_string(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        let key = written.lines().map(str::trim).find(|line| line.starts_with("RW"));
        let key = key.ok_or_else(|| format!("{} holds no public key of minisign's", path.display()))?;
        PublicKey::of(key).map_err(|why| format!("{}: {why}", path.display()))
    }

    fn of(text: &str) -> Result<Self, String> {
        let key = minisign_verify::PublicKey::from_base64(text)
            .map_err(|_| "it is no public key of minisign's".to_owned())?;
        let bytes = STANDARD.decode(text).unwrap_or_default();
        Ok(PublicKey {
            key,
            id: id(bytes.get(2..10).unwrap_or_default()),
        })
    }

    /// Checks one signature.
    ///
    /// # Errors
    /// Why it does not hold, in words.
    pub(crate) fn verify(&self, module: &[u8], written: &Written) -> Result<(), String> {
        // Signatures of minisign before 0.10 sign the bytes themselves and not their hash; that is as good.
        self.key
            .verify(module, &written.signature, true)
            .map_err(|error| match error {
                Error::InvalidSignature => {
                    "it is not of these bytes: the module, or its signature, was changed after it was signed".to_owned()
                }
                other => other.to_string(),
            })
    }
}

/// A signature as its file holds it.
pub(crate) struct Written {
    signature: Signature,
    /// The key it says it is of.
    pub(crate) key_id: String,
}

impl Written {
    /// Reads it.
    ///
    /// # Errors
    /// It is none of minisign's.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        let none = || {
            "it is no signature of minisign's: four lines, as `picket rule sign` and `minisign -S` write them"
                .to_owned()
        };
        let text = std::str::from_utf8(bytes).map_err(|_| none())?;
        let signature = Signature::decode(text).map_err(|_| none())?;
        let line = text.lines().nth(1).unwrap_or_default();
        let head = STANDARD.decode(line.trim()).unwrap_or_default();
        Ok(Written {
            signature,
            key_id: id(head.get(2..10).unwrap_or_default()),
        })
    }

    /// The comment that is signed with the module, without what a terminal would act on.
    pub(crate) fn comment(&self) -> String {
        let comment = self.signature.trusted_comment().chars();
        comment.filter(|char| !char.is_control()).take(300).collect()
    }
}

fn id(bytes: &[u8]) -> String {
    bytes.iter().rev().map(|byte| format!("{byte:02X}")).collect()
}

impl Signatures {
    /// Whether signatures are looked at.
    pub(crate) fn count(&self) -> bool {
        self.required || !self.trusted.is_empty()
    }

    /// Who signed a module. `file`: its name, for people. `beside`: what its signature's file holds; none: there is no such file.
    ///
    /// # Errors
    /// Why it is refused, in words.
    pub(crate) fn check(&self, file: &str, module: &[u8], beside: Option<&[u8]>) -> Result<Option<Signer>, String> {
        if !self.count() {
            return Ok(None);
        }
        let Some(beside) = beside else {
            if self.required {
                return Err(format!(
                    "there is no {file}{ENDING} beside it, and require_signature is set: it waits for one; `picket rule sign {file} \
                     --key FILE` makes it"
                ));
            }
            return Ok(None);
        };
        let written = Written::read(beside).map_err(|why| format!("{file}{ENDING}: {why}"))?;
        let Some(trusted) = self.trusted.iter().find(|trusted| trusted.key.id == written.key_id) else {
            let names: Vec<String> = self
                .trusted
                .iter()
                .map(|key| format!("{} ({})", key.name, key.key.id))
                .collect();
            return Err(format!(
                "{file}{ENDING}: it is signed with the key {}, which is not trusted; trusted are {}",
                written.key_id,
                names.join(", ")
            ));
        };
        trusted
            .key
            .verify(module, &written)
            .map_err(|why| format!("{file}{ENDING}: {why}; key {} ({})", trusted.name, trusted.key.id))?;
        Ok(Some(Signer {
            key: trusted.name.clone(),
            key_id: trusted.key.id.clone(),
            comment: written.comment(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key of minisign's, and its name.
    fn key(name: &str) -> (SecretKey, TrustedKey) {
        let pair = SecretKey::generate().unwrap();
        let key = PublicKey::written(&pair.public(), Path::to_owned).unwrap();
        assert_eq!(key.id, pair.id());
        let name = name.to_owned();
        (pair, TrustedKey { name, key })
    }

    fn sign(pair: &SecretKey, module: &[u8], comment: &str) -> Vec<u8> {
        pair.sign(module, comment).unwrap().into_bytes()
    }

    #[test]
    fn what_is_signed_by_a_trusted_key_is_told_with_its_comment() {
        let (pair, trusted) = key("detection team");
        let signatures = Signatures {
            trusted: vec![trusted.clone()],
            required: true,
        };
        let signature = sign(&pair, b"module", "x.wasm 1.2.0\u{1b}[31m");
        let signer = signatures
            .check("x.wasm", b"module", Some(&signature))
            .unwrap()
            .unwrap();
        assert_eq!(
            (signer.key.as_str(), signer.comment.as_str()),
            ("detection team", "x.wasm 1.2.0 [31m")
        );
        assert_eq!(signer.key_id, trusted.key.id);
        assert!(signer.key_id.len() == 16 && signer.key_id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }

    #[test]
    fn what_is_missing_changed_or_of_another_key_is_refused_with_a_sentence() {
        let (pair, trusted) = key("team");
        let (stranger, _) = key("stranger");
        let signatures = |required| Signatures {
            trusted: vec![trusted.clone()],
            required,
        };
        let good = sign(&pair, b"module", "x");
        let text = String::from_utf8(good.clone()).unwrap();
        let forged = text.replace("trusted comment: x", "trusted comment: y");
        for (beside, what) in [
            (good.as_slice(), "not of these bytes"),
            (&sign(&stranger, b"changed", "x"), "not trusted; trusted are team ("),
            (b"", "four lines"),
            (b"\xff\n\xff\n\xff\n\xff\n", "four lines"),
            (forged.as_bytes(), "not of these bytes"),
            (
                text.lines().take(2).collect::<Vec<_>>().join("\n").as_bytes(),
                "four lines",
            ),
        ] {
            for required in [true, false] {
                let why = signatures(required)
                    .check("x.wasm", b"changed", Some(beside))
                    .unwrap_err();
                assert!(why.contains(what) && why.starts_with("x.wasm.minisig: "), "{why}");
            }
        }
        let forged = signatures(true).check("x.wasm", b"module", Some(forged.as_bytes()));
        assert!(forged.is_err(), "the comment is signed too");
        let why = signatures(true).check("x.wasm", b"module", None).unwrap_err();
        assert!(
            why.contains("no x.wasm.minisig") && why.contains("picket rule sign"),
            "{why}"
        );
        assert_eq!(signatures(false).check("x.wasm", b"module", None), Ok(None));
        assert_eq!(
            Signatures::default().check("x.wasm", b"module", Some(b"?")),
            Ok(None),
            "nobody is trusted, nobody is asked"
        );
    }

    #[test]
    fn a_key_is_written_as_itself_or_as_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let (pair, trusted) = key("team");
        let path = directory.path().join("team.pub");
        std::fs::write(
            &path,
            format!("untrusted comment: minisign public key\n{}\n", pair.public()),
        )
        .unwrap();
        let read = |text: &str| PublicKey::written(text, |path| directory.path().join(path));
        assert_eq!(read("team.pub").unwrap(), trusted.key);
        assert!(read("other.pub").unwrap_err().contains("cannot be read"));
        std::fs::write(&path, "untrusted comment: x\n").unwrap();
        assert!(read("team.pub").unwrap_err().contains("no public key"));
        let long = format!("RW{}", "A".repeat(54));
        assert!(read(&long).is_err(), "not ed25519");
        // minisign's own documentation has this one.
        let known = read("RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3").unwrap();
        assert_eq!(known.id, "E7620F1842B4E81F");
    }
}
