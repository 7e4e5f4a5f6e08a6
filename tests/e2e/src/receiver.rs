//! Syslog receivers that are not ours: Debian's rsyslog and syslog-ng, over TLS.
//!
//! Each has a door for alerts in JSON and one for alerts in CEF, and writes what **it** made of a message: of its head, of its
//! structured data, and of the payload. A message whose payload it cannot parse is marked (rsyslog) or left out (syslog-ng).

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::tools::unpacked;

const PATIENCE: Duration = Duration::from_secs(90);

/// What a message carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// An alert's JSON.
    Json,
    /// An alert as CEF.
    Cef,
}

impl Payload {
    fn word(self) -> &'static str {
        match self {
            Payload::Json => "json",
            Payload::Cef => "cef",
        }
    }
}

/// A message, as the receiver parsed it.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    /// 0 to 7.
    pub severity: String,
    /// APP-NAME.
    pub program: String,
    /// Of the structured data: whose.
    pub tenant: String,
    /// Of the structured data: which alert.
    pub alert: String,
    /// JSON: the alert's members. CEF: `id`, `tenant`, `title`, `severity`.
    pub payload: Value,
}

/// A receiver that runs until it is dropped.
pub struct Receiver {
    /// What it is called.
    pub name: &'static str,
    process: Child,
    ports: [u16; 2],
    dir: TempDir,
    read: fn(Payload, &Value) -> Option<Received>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Receiver {
    /// None: there is none on this machine; this test is skipped, and has said why.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn rsyslog() -> Option<Self> {
        let program = unpacked("rsyslog", "usr/sbin/rsyslogd")?;
        let root = root(&program);
        let modules = libraries(&root).into_iter().map(|path| path.join("rsyslog"));
        let modules = modules.into_iter().find(|path| path.join("imtcp.so").is_file())?;
        let (dir, ports) = (certified(), [free_port(), free_port()]);
        let at = dir.path().display();
        let [json, cef] = ports;
        let config = format!(
            r#"global(workDirectory="{at}" maxMessageSize="1m" parser.escapeControlCharactersOnReceive="off"
    defaultNetstreamDriver="gtls" defaultNetstreamDriverCAFile="{at}/ca.pem"
    defaultNetstreamDriverCertFile="{at}/server.pem" defaultNetstreamDriverKeyFile="{at}/server.key")
module(load="imtcp" maxFrameSize="1000000" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon")
module(load="mmpstrucdata") module(load="mmjsonparse") module(load="mmnormalize")
template(name="parsed" type="string" string="%$!%\n")
ruleset(name="json") {{ action(type="mmpstrucdata") action(type="mmjsonparse" cookie="" container="$!payload") call out_json }}
ruleset(name="cef") {{ action(type="mmpstrucdata") action(type="mmnormalize" rulebase="{at}/cef.rb" path="$!payload") call out_cef }}
{}{}input(type="imtcp" address="127.0.0.1" port="{json}" ruleset="json")
input(type="imtcp" address="127.0.0.1" port="{cef}" ruleset="cef")
"#,
            rsyslog_out(dir.path(), Payload::Json),
            rsyslog_out(dir.path(), Payload::Cef),
        );
        std::fs::write(dir.path().join("conf"), config).unwrap();
        std::fs::write(dir.path().join("cef.rb"), "version=2\nrule=:%f:cef%\n").unwrap();
        let mut command = Command::new(program);
        command.arg("-n").arg("-f").arg(dir.path().join("conf"));
        command.arg("-i").arg(dir.path().join("pid")).arg("-M").arg(modules);
        Some(start("rsyslog", dir, ports, &root, command, of_rsyslog))
    }

    /// None: there is none on this machine; this test is skipped, and has said why.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn syslog_ng() -> Option<Self> {
        let program = unpacked("syslog-ng-core", "usr/sbin/syslog-ng")?;
        let root = root(&program);
        let modules = std::fs::read_dir(root.join("usr/lib/syslog-ng")).ok()?.flatten();
        let modules = modules.map(|entry| entry.path()).find(|path| path.is_dir())?;
        let (dir, [json, cef]) = (certified(), [free_port(), free_port()]);
        let at = dir.path().display();
        let source = |name: &str, port: u16| {
            format!(
                "source in_{name} {{ syslog(ip(\"127.0.0.1\") port({port}) transport(\"tls\")\n    \
                 tls(key-file(\"{at}/server.key\") cert-file(\"{at}/server.pem\") peer-verify(optional-untrusted))); }};\n"
            )
        };
        let out = |name: &str, keys: &str| {
            format!(
                "destination out_{name} {{ file(\"{at}/{name}\" template(\"$(format-json severity=${{LEVEL_NUM}} \
                 program=${{PROGRAM}} --key .SDATA.* {keys})\\n\")); }};\n"
            )
        };
        let config = [
            "@version: 3.38\noptions { keep-hostname(yes); log-msg-size(1048576); };\n".to_owned(),
            source("json", json),
            source("cef", cef),
            "parser json { json-parser(prefix(\".payload.\")); };\n\
             parser cef {\n    csv-parser(delimiters(chars(\"|\")) flags(greedy)\n        \
             columns(\".cef.version\", \".cef.vendor\", \".cef.product\", \".cef.release\", \".cef.rule\", \".cef.title\", \
             \".cef.severity\", \".cef.extension\"));\n    \
             kv-parser(template(\"${.cef.extension}\") prefix(\".extension.\"));\n};\n"
                .to_owned(),
            out("json", "--key .payload.*"),
            out("cef", "--key .cef.* --key .extension.*"),
            "log { source(in_json); parser(json); destination(out_json); };\n\
             log { source(in_cef); parser(cef); destination(out_cef); };\n"
                .to_owned(),
        ];
        std::fs::write(dir.path().join("conf"), config.concat()).unwrap();
        let mut command = Command::new(program);
        command
            .args(["-F", "-e", "--no-caps", "-f"])
            .arg(dir.path().join("conf"));
        for (option, file) in [("-R", "persist"), ("-p", "pid"), ("-c", "ctl")] {
            command.arg(option).arg(dir.path().join(file));
        }
        command.arg(format!("--module-path={}", modules.display()));
        Some(start("syslog-ng", dir, [json, cef], &root, command, of_syslog_ng))
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self, payload: Payload) -> String {
        let [json, cef] = self.ports;
        let port = if payload == Payload::Json { json } else { cef };
        format!("127.0.0.1:{port}")
    }

    /// The authority that signed its certificate, PEM.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// What it has received and parsed so far, in order.
    ///
    /// # Panics
    /// It could not parse something.
    #[must_use]
    pub fn received(&self, payload: Payload) -> Vec<Received> {
        let text = std::fs::read_to_string(self.dir.path().join(payload.word())).unwrap_or_default();
        // A last line without its end is still being written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let read = |line: &str| {
            let read = serde_json::from_str(line)
                .ok()
                .and_then(|line| (self.read)(payload, &line));
            read.unwrap_or_else(|| panic!("{} could not parse this, or we not what it said: {line}", self.name))
        };
        whole.lines().map(read).collect()
    }

    /// Waits until it has received so many.
    ///
    /// # Panics
    /// It does not.
    #[must_use]
    pub fn wait_for(&self, payload: Payload, many: usize) -> Vec<Received> {
        let began = Instant::now();
        loop {
            let received = self.received(payload);
            if received.len() >= many {
                return received;
            }
            let words = (self.name, payload.word(), received.len());
            assert!(began.elapsed() < PATIENCE, "{words:?} of {many}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

/// What every message ends in, in a file of its payload's name.
fn rsyslog_out(dir: &Path, payload: Payload) -> String {
    let (at, name) = (dir.display(), payload.word());
    format!(
        r#"ruleset(name="out_{name}") {{ set $!ok = $parsesuccess; set $!severity = $syslogseverity; set $!program = $app-name;
    action(type="omfile" file="{at}/{name}" template="parsed" flushOnTXEnd="on") }}
"#
    )
}

fn text(value: &Value, pointer: &str) -> Option<String> {
    value.pointer(pointer)?.as_str().map(str::to_owned)
}

/// Of CEF, by the names of JSON.
fn common(
    id: Option<String>,
    tenant: Option<String>,
    title: Option<String>,
    severity: Option<String>,
) -> Option<Value> {
    Some(serde_json::json!({"id": id?, "tenant": tenant?, "title": title?, "severity": severity?}))
}

fn of_rsyslog(payload: Payload, line: &Value) -> Option<Received> {
    if text(line, "/ok")? != "OK" {
        return None;
    }
    let said = |name: &str| text(line, &format!("/payload/f/{name}"));
    let parsed = match payload {
        Payload::Json => line.get("payload")?.clone(),
        Payload::Cef => common(
            // liblognorm 2.0.6 leaves out the first letter of the first key.
            said("Extensions/externalId").or_else(|| said("Extensions/xternalId")),
            said("Extensions/cs1"),
            said("Name"),
            said("Severity"),
        )?,
    };
    received(line, "rfc5424-sd", parsed)
}

fn of_syslog_ng(payload: Payload, line: &Value) -> Option<Received> {
    let parsed = match payload {
        Payload::Json => line.get("_payload")?.clone(),
        Payload::Cef => common(
            text(line, "/_extension/externalId"),
            text(line, "/_extension/cs1"),
            text(line, "/_cef/title"),
            text(line, "/_cef/severity"),
        )?,
    };
    received(line, "_SDATA", parsed)
}

/// `data`: where the receiver puts structured data.
fn received(line: &Value, data: &str, payload: Value) -> Option<Received> {
    let data = |name: &str| text(line, &format!("/{data}/picket@32473/{name}"));
    Some(Received {
        severity: text(line, "/severity")?,
        program: text(line, "/program")?,
        tenant: data("tenant")?,
        alert: data("alert_id")?,
        payload,
    })
}

/// Where a program was unpacked: three levels above it.
fn root(program: &Path) -> PathBuf {
    program.ancestors().nth(3).map(Path::to_owned).unwrap_or_default()
}

/// Directories of an unpacked package that hold libraries.
fn libraries(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![root.join("usr/lib/syslog-ng")];
    for above in ["usr/lib", "lib"] {
        let entries = std::fs::read_dir(root.join(above)).into_iter().flatten().flatten();
        found.extend(entries.map(|entry| entry.path()).filter(|path| path.is_dir()));
    }
    found
}

/// A directory with a server's certificate for this machine, and the authority that signed it.
fn certified() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = parameters.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(parameters, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let server = rcgen::CertificateParams::new(names)
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    std::fs::write(dir.path().join("ca.pem"), authority.pem()).unwrap();
    std::fs::write(dir.path().join("server.pem"), server.pem()).unwrap();
    std::fs::write(dir.path().join("server.key"), key.serialize_pem()).unwrap();
    dir
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn start(
    name: &'static str,
    dir: TempDir,
    ports: [u16; 2],
    root: &Path,
    mut command: Command,
    read: fn(Payload, &Value) -> Option<Received>,
) -> Receiver {
    if root != Path::new("/") {
        let paths = libraries(root);
        command.env("LD_LIBRARY_PATH", std::env::join_paths(paths).unwrap());
    }
    let log = std::fs::File::create(dir.path().join("log")).unwrap();
    let process = command
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let receiver = Receiver {
        name,
        process,
        ports,
        dir,
        read,
    };
    let began = Instant::now();
    for port in ports {
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                began.elapsed() < PATIENCE,
                "{name} does not listen:\n{}",
                receiver.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    receiver
}
