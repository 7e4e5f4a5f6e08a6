//! How much of what was written to a connection the other side's kernel has not acknowledged yet.
//!
//! It is what `ioctl(SIOCOUTQ)` says. No crate offers that without `unsafe`, so it is read from where the kernel shows it to
//! everybody: the `tx_queue` column of `/proc/net/tcp`.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

/// Bytes; none: this system does not say, or the connection is gone.
pub(super) fn unacknowledged(local: SocketAddr, peer: SocketAddr) -> Option<u64> {
    let table = if local.is_ipv4() {
        "/proc/thread-self/net/tcp"
    } else {
        "/proc/thread-self/net/tcp6"
    };
    find(&std::fs::read_to_string(table).ok()?, local, peer)
}

fn find(table: &str, local: SocketAddr, peer: SocketAddr) -> Option<u64> {
    let (local, peer) = (shown(local), shown(peer));
    let line = table.lines().skip(1).find(|line| {
        let mut columns = line.split_ascii_whitespace().skip(1);
        columns.next() == Some(&local) && columns.next() == Some(&peer)
    })?;
    let queues = line.split_ascii_whitespace().nth(4)?;
    u64::from_str_radix(queues.split(':').next()?, 16).ok()
}

/// As the kernel shows an address: words in this machine's byte order.
fn shown(address: SocketAddr) -> String {
    let bytes = match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let mut text = String::new();
    for word in bytes.chunks_exact(4) {
        let word = u32::from_ne_bytes(word.try_into().unwrap_or_default());
        // Writing to a String cannot fail.
        let _ = write!(text, "{word:08X}");
    }
    let _ = write!(text, ":{:04X}", address.port());
    text
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn what_nobody_reads_stays_in_the_queue_until_somebody_does() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else {
                continue;
            };
            let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut other, _) = listener.accept().unwrap();
            let waits =
                |stream: &TcpStream| unacknowledged(stream.local_addr().unwrap(), stream.peer_addr().unwrap()).unwrap();
            assert_eq!(waits(&stream), 0);
            stream.set_nonblocking(true).unwrap();
            let block = vec![0_u8; 1 << 16];
            let mut written = 0;
            while let Ok(bytes) = stream.write(&block) {
                written += bytes;
            }
            assert!(waits(&stream) > 0, "{address}: both buffers are full");
            let mut read = 0;
            let mut buffer = vec![0_u8; 1 << 16];
            while read < written {
                read += other.read(&mut buffer).unwrap();
            }
            let began = std::time::Instant::now();
            while waits(&stream) > 0 {
                assert!(began.elapsed().as_secs() < 60);
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            drop(other);
        }
    }
}
