//! Secret keys in minisign's format: making, reading and writing them, and signing.
//!
//! A key's file is a comment and 158 bytes in base64: algorithms, salt and costs of the password's derivation (scrypt), and then
//! 104 bytes, which a password hides: the key's id, the seed, the public key, and a BLAKE2b checksum of all that. A key without a
//! password has zeros where the derivation is named. Signed is the BLAKE2b-512 of the bytes, as minisign does it since 0.10;
//! then the signature together with the trusted comment.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blake2b_simd::Params as Blake2b;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::{Zeroize as _, Zeroizing};

use super::id;

/// "Ed", "B2" and "Sc", as the format names its algorithms.
const ED25519: &[u8; 2] = b"Ed";
const PREHASHED: &[u8; 2] = b"ED";
const BLAKE2: &[u8; 2] = b"B2";
const SCRYPT: &[u8; 2] = b"Sc";
const NONE: &[u8; 2] = &[0, 0];

/// Lengths of the parts, bytes.
const SALT: usize = 32;
const HIDDEN: usize = 104;
const WHOLE: usize = 158;

/// What deriving a key from a password costs: libsodium's "sensitive", which minisign takes too. A gigabyte and some seconds.
const OPERATIONS: u64 = 33_554_432;
const MEMORY: u64 = 1_073_741_824;

/// A key to sign with. What is secret of it is wiped when it goes.
pub(crate) struct SecretKey {
    keynum: [u8; 8],
    seed: Zeroizing<[u8; 32]>,
    public: [u8; 32],
}

/// Why a secret key cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    /// It is hidden by a password, and none was given.
    #[error("the key has a password: give it with --password-file FILE, in PICKET_KEY_PASSWORD, or at the prompt")]
    NeedsPassword,
    /// The password does not fit.
    #[error("this is not the key's password")]
    WrongPassword,
    /// It is no secret key.
    #[error("it is no secret key of minisign's: {0}")]
    Format(&'static str),
    /// The machine does not give what is needed.
    #[error("{0}")]
    Machine(String),
}

impl SecretKey {
    /// A new one.
    ///
    /// # Errors
    /// The machine has no random numbers.
    pub(crate) fn generate() -> Result<Self, KeyError> {
        let (mut keynum, mut seed) = ([0; 8], Zeroizing::new([0; 32]));
        random(&mut keynum)?;
        random(&mut *seed)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&*seed).map_err(|error| KeyError::Machine(error.to_string()))?;
        let public = pair.public_key().as_ref().try_into();
        let public = public.map_err(|_| KeyError::Machine("a public key of another length".to_owned()))?;
        Ok(SecretKey { keynum, seed, public })
    }

    /// Reads a key's file. `password`: asked for only if the key has one.
    ///
    /// # Errors
    /// [`KeyError`].
    pub(crate) fn read(
        text: &str,
        password: impl FnOnce() -> Result<SecretString, KeyError>,
    ) -> Result<Self, KeyError> {
        let line = text.lines().nth(1).ok_or(KeyError::Format("it has no second line"))?;
        let bytes = STANDARD.decode(line.trim()).map(Zeroizing::new);
        let bytes = bytes.map_err(|_| KeyError::Format("its second line is not base64"))?;
        if bytes.len() != WHOLE {
            return Err(KeyError::Format("it is of another length"));
        }
        let part = |from: usize, to: usize| bytes.get(from..to).unwrap_or_default();
        if part(0, 2) != ED25519 || part(4, 6) != BLAKE2 {
            return Err(KeyError::Format("its algorithms are others"));
        }
        let mut hidden = Zeroizing::new([0; HIDDEN]);
        hidden.copy_from_slice(part(WHOLE - HIDDEN, WHOLE));
        let has_password = match part(2, 4) {
            kind if kind == SCRYPT => true,
            kind if kind == NONE => false,
            _ => return Err(KeyError::Format("its password is derived in another way")),
        };
        if has_password {
            let number = |from: usize| u64::from_le_bytes(part(from, from + 8).try_into().unwrap_or_default());
            let password = password()?;
            hide(&mut hidden, &password, part(6, 6 + SALT), number(38), number(46))?;
        }
        let inner = |from: usize, to: usize| hidden.get(from..to).unwrap_or_default();
        let checksum = checksum(inner(0, 8), inner(8, 72));
        // minisign itself leaves the checksum of a key without a password empty.
        let is_unchecked = !has_password && inner(72, HIDDEN).iter().all(|byte| *byte == 0);
        if checksum != inner(72, HIDDEN) && !is_unchecked {
            return Err(if has_password {
                KeyError::WrongPassword
            } else {
                KeyError::Format("it is damaged")
            });
        }
        let mut key = SecretKey {
            keynum: inner(0, 8).try_into().unwrap_or_default(),
            seed: Zeroizing::new([0; 32]),
            public: inner(40, 72).try_into().unwrap_or_default(),
        };
        key.seed.copy_from_slice(inner(8, 40));
        Ok(key)
    }

    /// The key's file. `password`: what hides it; none: nothing does.
    ///
    /// # Errors
    /// The machine has no random numbers, or not the memory.
    pub(crate) fn written(&self, password: Option<&SecretString>) -> Result<Zeroizing<String>, KeyError> {
        let mut hidden = Zeroizing::new([0; HIDDEN]);
        let secret = Zeroizing::new([&self.seed[..], &self.public[..]].concat());
        let parts = [&self.keynum[..], &secret[..], &checksum(&self.keynum, &secret)[..]].concat();
        hidden.copy_from_slice(&Zeroizing::new(parts));
        let (mut salt, mut kind, mut costs) = ([0; SALT], NONE, (0_u64, 0_u64));
        if let Some(password) = password {
            random(&mut salt)?;
            (kind, costs) = (SCRYPT, (OPERATIONS, MEMORY));
            hide(&mut hidden, password, &salt, costs.0, costs.1)?;
        }
        let mut whole = Zeroizing::new(Vec::with_capacity(WHOLE));
        for part in [
            &ED25519[..],
            kind,
            BLAKE2,
            &salt,
            &costs.0.to_le_bytes(),
            &costs.1.to_le_bytes(),
            &hidden[..],
        ] {
            whole.extend_from_slice(part);
        }
        let how = if password.is_some() { "encrypted" } else { "unencrypted" };
        let text = format!(
            "untrusted comment: minisign {how} secret key\n{}\n",
            STANDARD.encode(&*whole)
        );
        Ok(Zeroizing::new(text))
    }

    /// The public key, as one line of base64.
    pub(crate) fn public(&self) -> String {
        STANDARD.encode([&ED25519[..], &self.keynum, &self.public].concat())
    }

    /// As minisign prints it: 16 hexadecimal digits.
    pub(crate) fn id(&self) -> String {
        id(&self.keynum)
    }

    /// The signature's file of some bytes, with a comment that is signed with them (one line).
    ///
    /// # Errors
    /// The key's halves do not belong together.
    pub(crate) fn sign(&self, bytes: &[u8], comment: &str) -> Result<String, KeyError> {
        let pair = Ed25519KeyPair::from_seed_and_public_key(&*self.seed, &self.public);
        let pair = pair.map_err(|_| KeyError::Format("its halves do not belong together"))?;
        let comment: String = comment
            .chars()
            .map(|char| if char.is_control() { ' ' } else { char })
            .collect();
        let signature = pair.sign(Blake2b::new().hash_length(64).hash(bytes).as_bytes());
        let whole = pair.sign(&[signature.as_ref(), comment.as_bytes()].concat());
        Ok(format!(
            "untrusted comment: signature from picket, key {}\n{}\ntrusted comment: {comment}\n{}\n",
            self.id(),
            STANDARD.encode([&PREHASHED[..], &self.keynum, signature.as_ref()].concat()),
            STANDARD.encode(whole.as_ref())
        ))
    }
}

fn random(into: &mut [u8]) -> Result<(), KeyError> {
    getrandom::fill(into).map_err(|error| KeyError::Machine(format!("no random numbers: {error}")))
}

fn checksum(keynum: &[u8], secret: &[u8]) -> [u8; 32] {
    let mut state = Blake2b::new().hash_length(32).to_state();
    state.update(ED25519).update(keynum).update(secret);
    state.finalize().as_bytes().try_into().unwrap_or_default()
}

/// Hides what is there with a password, or shows what is hidden.
fn hide(
    hidden: &mut [u8; HIDDEN],
    password: &SecretString,
    salt: &[u8],
    operations: u64,
    memory: u64,
) -> Result<(), KeyError> {
    let params = params(operations, memory)?;
    let mut stream = Zeroizing::new([0; HIDDEN]);
    scrypt::scrypt(password.expose_secret().as_bytes(), salt, &params, &mut *stream)
        .map_err(|error| KeyError::Machine(error.to_string()))?;
    for (byte, mask) in hidden.iter_mut().zip(stream.iter()) {
        *byte ^= mask;
    }
    stream.zeroize();
    Ok(())
}

/// What libsodium's `crypto_pwhash_scryptsalsa208sha256` makes of its two limits.
fn params(operations: u64, memory: u64) -> Result<scrypt::Params, KeyError> {
    const R: u64 = 8;
    if memory > MEMORY || operations > OPERATIONS {
        return Err(KeyError::Format("deriving its password costs more than a gigabyte"));
    }
    let operations = operations.max(32_768);
    let log2 = |most: u64| (1..20_u8).find(|log2| 1_u64 << log2 > most / 2).unwrap_or(20);
    let (log2, p) = if operations < memory / 32 {
        (log2(operations / (R * 4)), 1)
    } else {
        let log2 = log2(memory / (R * 128));
        (log2, (operations / 4 / (1_u64 << log2)).min(0x3fff_ffff) / R)
    };
    let p = u32::try_from(p.max(1)).unwrap_or(1);
    scrypt::Params::new(log2, 8, p).map_err(|error| KeyError::Machine(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nobody() -> Result<SecretString, KeyError> {
        Err(KeyError::NeedsPassword)
    }

    #[test]
    fn a_key_is_written_and_read_with_and_without_a_password() {
        let key = SecretKey::generate().unwrap();
        let plain = key.written(None).unwrap();
        let again = SecretKey::read(&plain, nobody).unwrap();
        assert_eq!((again.public(), again.id()), (key.public(), key.id()));

        // As minisign does it, but cheaper: the costs are the file's own.
        let hush = SecretString::from("hush-hush");
        let mut hidden = [0; HIDDEN];
        hidden.copy_from_slice(&STANDARD.decode(plain.lines().nth(1).unwrap()).unwrap()[WHOLE - HIDDEN..]);
        hide(&mut hidden, &hush, &[7; SALT], 32_768, 1 << 20).unwrap();
        let costs = [32_768_u64.to_le_bytes(), (1_u64 << 20).to_le_bytes()].concat();
        let whole = [&b"EdScB2"[..], &[7; SALT], &costs, &hidden].concat();
        let text = format!("untrusted comment: x\n{}\n", STANDARD.encode(whole));
        assert_eq!(SecretKey::read(&text, nobody).err(), Some(KeyError::NeedsPassword));
        assert_eq!(
            SecretKey::read(&text, || Ok("hush".into())).err(),
            Some(KeyError::WrongPassword)
        );
        assert_eq!(SecretKey::read(&text, || Ok(hush)).unwrap().public(), key.public());

        let (first, second) = plain.split_once('\n').unwrap();
        for broken in [
            "",
            first,
            &format!("{first}\n????"),
            &format!("{first}\nRWQ="),
            &plain.replacen("RWQA", "RWRA", 1),
        ] {
            let error = SecretKey::read(broken, nobody).err();
            assert!(matches!(error, Some(KeyError::Format(_))), "{broken}: {error:?}");
        }
        let mut damaged = STANDARD.decode(second.trim()).unwrap();
        damaged[100] ^= 1;
        let damaged = format!("{first}\n{}\n", STANDARD.encode(damaged));
        assert_eq!(
            SecretKey::read(&damaged, nobody).err(),
            Some(KeyError::Format("it is damaged"))
        );
    }

    #[test]
    fn the_costs_are_those_of_libsodium() {
        let of = |operations, memory| {
            let params = params(operations, memory).unwrap();
            (params.log_n(), params.r(), params.p())
        };
        assert_eq!(of(OPERATIONS, MEMORY), (20, 8, 1), "sensitive");
        assert_eq!(of(524_288, 16_777_216), (14, 8, 1), "interactive");
        assert!(
            params(OPERATIONS + 1, MEMORY).is_err() && params(OPERATIONS, MEMORY * 2).is_err(),
            "a file may not ask for more"
        );
    }
}
