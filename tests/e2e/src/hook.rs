//! A webhook that answers as it is told to.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// One request that it got.
#[derive(Debug, Clone)]
pub struct Posted {
    /// With its query.
    pub path: String,
    /// `webhook-id`.
    pub id: String,
    /// What it answered.
    pub status: u16,
    /// The JSON.
    pub body: Value,
}

#[derive(Debug)]
struct State {
    status: u16,
    posted: Vec<Posted>,
}

/// A webhook on this machine. A path that is a number is answered with that status, any other with the one that is set: 204, to
/// begin with.
#[derive(Debug)]
pub struct Hook {
    address: String,
    state: Arc<Mutex<State>>,
}

impl Hook {
    /// Listens.
    ///
    /// # Panics
    /// There is no port.
    #[must_use]
    #[allow(
        clippy::new_without_default,
        reason = "it opens a port: nobody should make one by default"
    )]
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State {
            status: 204,
            posted: Vec::new(),
        }));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(&stream, &shared);
            }
        });
        Hook { address, state }
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What it answers from now on.
    ///
    /// # Panics
    /// It has panicked itself.
    pub fn answers(&self, status: u16) {
        self.state.lock().unwrap().status = status;
    }

    /// What it got, in order.
    ///
    /// # Panics
    /// It has panicked itself.
    #[must_use]
    pub fn posted(&self) -> Vec<Posted> {
        self.state.lock().unwrap().posted.clone()
    }

    /// Ids of what it took, in order.
    #[must_use]
    pub fn taken(&self) -> Vec<String> {
        let taken = self.posted().into_iter().filter(|posted| posted.status < 300);
        taken.map(|posted| posted.id).collect()
    }
}

fn answer(stream: &TcpStream, state: &Mutex<State>) {
    let Some((path, id, body)) = request(stream) else {
        return;
    };
    let mut state = state.lock().unwrap();
    let word = path.trim_start_matches('/').split('?').next().unwrap_or_default();
    let status = word.parse().unwrap_or(state.status);
    state.posted.push(Posted { path, id, status, body });
    let text = format!("HTTP/1.1 {status} So\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    // Who has hung up meanwhile asks again.
    let _ = (&*stream).write_all(text.as_bytes());
}

fn request(stream: &TcpStream) -> Option<(String, String, Value)> {
    let mut reader = BufReader::new(stream);
    let mut lines: Vec<String> = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_owned());
    }
    let header = |name: &str| {
        let found = lines.iter().filter_map(|line| line.split_once(": "));
        let mut found = found.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.to_owned())
    };
    let mut body = vec![0; header("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    let path = lines.first()?.split(' ').nth(1)?.to_owned();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    Some((path, header("webhook-id").unwrap_or_default(), body))
}
