//! What the two processes say to each other.
//!
//! Both ways it is one message in a file in memory that has no name: the child's standard input and its standard output. A
//! message is a head and a body, each with its length before it: head, four bytes, JSON; body, eight bytes: the
//! module, or the compiled code. Lengths are little-endian. A message that ends early, or goes on, is none.

use std::io::{Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::walls::Walls;

/// Longest head, bytes.
const HEAD: usize = 64 << 10;

/// What the child is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Job {
    /// What compiled code depends on, as the parent sees it: two different programs would not agree.
    pub(super) compatibility: String,
    /// Address space, bytes.
    pub(super) memory_bytes: u64,
    /// Processor time, whole seconds.
    pub(super) cpu_seconds: u64,
    /// Size of the answer, bytes.
    pub(super) output_bytes: u64,
    /// Try the walls instead of compiling.
    pub(super) probe: bool,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// The body is the compiled code.
    Compiled,
    /// The walls were tried.
    Probed(Walls),
    /// The module is not valid, in the compiler's words.
    Invalid(String),
    /// The module cannot be compiled, in the compiler's words.
    Failed(String),
    /// Memory ran out in a way that could still be told of.
    OutOfMemory(String),
    /// There is something wrong with this machine or this program.
    Broken(String),
}

/// Writes a message.
///
/// # Errors
/// The file's, or the head does not become JSON.
pub(super) fn write(to: &mut impl Write, head: &impl Serialize, body: &[u8]) -> std::io::Result<()> {
    let head = serde_json::to_vec(head)?;
    let length = u32::try_from(head.len()).map_err(std::io::Error::other)?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(&head)?;
    to.write_all(&(body.len() as u64).to_le_bytes())?;
    to.write_all(body)?;
    to.flush()
}

/// Reads the head of a message.
///
/// # Errors
/// The file's, or what it holds is no head.
pub(super) fn head<T: DeserializeOwned>(from: &mut impl Read) -> std::io::Result<T> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if length > HEAD {
        return Err(std::io::Error::other("the head of the message is too long"));
    }
    let mut head = vec![0; length];
    from.read_exact(&mut head)?;
    Ok(serde_json::from_slice(&head)?)
}

/// Reads the body of a message of at most so many bytes.
///
/// # Errors
/// The file's, or it is longer, or not as long as it says.
pub(super) fn body(from: &mut impl Read, most: u64) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 8];
    from.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > most {
        return Err(std::io::Error::other("the body of the message is too long"));
    }
    let mut body = Vec::new();
    from.take(length.saturating_add(1)).read_to_end(&mut body)?;
    if body.len() as u64 == length {
        Ok(body)
    } else {
        Err(std::io::Error::other("the message does not end where it says"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written_and_never_in_part() {
        let mut file = Vec::new();
        write(&mut file, &Answer::Compiled, b"code").unwrap();
        let mut from = file.as_slice();
        assert!(matches!(head::<Answer>(&mut from).unwrap(), Answer::Compiled));
        assert_eq!(body(&mut from, 100).unwrap(), b"code");
        for end in 0..file.len() {
            let mut from = &file[..end];
            assert!(
                head::<Answer>(&mut from).and_then(|_| body(&mut from, 100)).is_err(),
                "{end}"
            );
        }
        file.push(0);
        let mut from = file.as_slice();
        head::<Answer>(&mut from).unwrap();
        assert!(body(&mut from, 100).is_err());
        let mut from = file.as_slice();
        head::<Answer>(&mut from).unwrap();
        assert!(body(&mut from, 3).is_err());
    }
}
