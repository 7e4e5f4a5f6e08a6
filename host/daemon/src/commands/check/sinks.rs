//! Whether sinks are set up, and with `--send` whether an alert arrives: one that says of itself that it is a test.
//!
//! Webhooks and syslog receivers are sent to from here, as the configuration stands. A file and standard output have one writer:
//! where the daemon runs, it is asked to write.

use anyhow::bail;
use picket_sink::Cause;
use serde_json::Value;

use super::report::{Finding, Report};
use crate::config::{Config, SinkConfig, SinkKind, SyslogConfig, SyslogTransport};
use crate::control::{Request, ask};
use crate::deliver::{Sent, Trouble, is_sound, send_apart};

/// Sinks and what to do with them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sending<'a> {
    /// Send to them.
    pub(crate) send: bool,
    /// To these alone; none: to all.
    pub(crate) names: &'a [String],
}

/// Looks after every sink.
///
/// # Errors
/// One is named that is not there.
pub(super) async fn look(config: &Config, sending: Sending<'_>, report: &mut Report) -> anyhow::Result<()> {
    let is_there = |name: &&String| config.sinks.iter().any(|sink| sink.name == **name);
    if let Some(unknown) = sending.names.iter().find(|name| !is_there(name)) {
        let known: Vec<&str> = config.sinks.iter().map(|sink| sink.name.as_str()).collect();
        bail!("there is no sink `{unknown}`; there are: {}", known.join(", "));
    }
    let mut under_way = Vec::new();
    for sink in &config.sinks {
        let is_sent_to = sending.send && (sending.names.is_empty() || sending.names.contains(&sink.name));
        let (own, socket) = (sink.clone(), config.control_socket.clone());
        // Each takes as long as its receiver does.
        under_way.push(tokio::spawn(async move {
            let what = format!("sink {}", own.name);
            if !is_sent_to {
                settled(&what, tokio::task::spawn_blocking(move || is_sound(&own)).await)
            } else if matches!(own.kind, SinkKind::Stdout(_) | SinkKind::File { .. }) {
                by_daemon(&what, own, &socket).await
            } else {
                by_hand(&what, own).await
            }
        }));
    }
    for (sink, task) in config.sinks.iter().zip(under_way) {
        let finding = match task.await {
            Ok(finding) => finding,
            Err(error) => Finding::wrong(
                format!("sink {}", sink.name),
                format!("the check itself failed: {error}"),
            ),
        };
        report.add(Finding {
            sink: Some(sink.name.clone()),
            ..finding
        });
    }
    Ok(())
}

fn settled(what: &str, sound: Result<Result<(), String>, tokio::task::JoinError>) -> Finding {
    match sound {
        Ok(Ok(())) => Finding::ok(what),
        Ok(Err(why)) => {
            // Which sink it is stands before it already.
            let own = format!("{what}: ");
            let why = why.strip_prefix(&own).unwrap_or(&why);
            Finding {
                kind: Some("settings"),
                ..Finding::wrong(what, why)
            }
        }
        Err(error) => Finding::wrong(what, format!("the check itself failed: {error}")),
    }
}

/// What has one writer.
async fn by_daemon(what: &str, sink: SinkConfig, socket: &std::path::Path) -> Finding {
    let request = Request::Sample {
        sink: sink.name.clone(),
    };
    match ask(socket, &request).await {
        Ok(Some(answer)) => {
            let id = answer.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
            let problem = answer.get("problem").and_then(Value::as_str);
            let problem = problem.map(|why| (why.to_owned(), Trouble::Down(Cause::Other)));
            told(what, &sink, Sent { id, problem })
        }
        Ok(None) => match &sink.kind {
            SinkKind::File { path, .. } if path.exists() => by_hand(what, sink).await,
            SinkKind::File { path, .. } => Finding::ok(format!(
                "{what}: nothing sent: {} is made by the daemon, as its user, and no daemon runs",
                path.display()
            )),
            _ => Finding::ok(format!(
                "{what}: nothing sent: it is the daemon's standard output, and no daemon runs"
            )),
        },
        Err(error) => Finding::wrong(what, format!("{error:#}")),
    }
}

async fn by_hand(what: &str, sink: SinkConfig) -> Finding {
    let own = sink.clone();
    match tokio::task::spawn_blocking(move || send_apart(&own)).await {
        Ok(Ok(sent)) => told(what, &sink, sent),
        other => settled(what, other.map(|sent| sent.map(drop))),
    }
}

/// What became of it, in words, and what to do.
fn told(what: &str, sink: &SinkConfig, Sent { id, problem }: Sent) -> Finding {
    let Some((why, trouble)) = problem else {
        let how = match &sink.kind {
            SinkKind::Stdout(_) => "written to the daemon's standard output",
            SinkKind::File { .. } => "written",
            SinkKind::Webhook(_) => "taken",
            SinkKind::Syslog(syslog) if syslog.transport == SyslogTransport::Udp => {
                "sent; whether it arrived, UDP does not tell"
            }
            SinkKind::Syslog(_) => "handed over to the receiver's machine; that it was read, only its people can tell",
        };
        return Finding {
            sent: Some(id.clone()),
            ..Finding::ok(format!("{what}: test alert {id}: {how}"))
        };
    };
    let (kind, advice) = remedy(sink, trouble);
    Finding {
        sent: Some(id),
        kind: Some(kind),
        advice: advice.map(str::to_owned),
        ..Finding::wrong(format!("{what}: the test alert was not taken"), why)
    }
}

/// For programs, and for the person who must act.
fn remedy(sink: &SinkConfig, trouble: Trouble) -> (&'static str, Option<&'static str>) {
    let is_webhook = matches!(sink.kind, SinkKind::Webhook(_));
    let cause = match trouble {
        Trouble::Refused => {
            return (
                "refused",
                Some("it would be a dead letter: the receiver has to take JSON of this size and with these members"),
            );
        }
        Trouble::Gone => {
            return (
                "gone",
                Some("it wants nothing any more: have its owner open it again, or take the sink out"),
            );
        }
        Trouble::Down(cause) => cause,
    };
    match (&sink.kind, cause) {
        (SinkKind::File { .. }, _) => (
            "not_writable",
            Some("the user that the daemon runs as has to be able to write there, and there has to be room"),
        ),
        (_, Cause::Name) => (
            "name",
            Some(if is_webhook {
                "correct the host in `url`, or mend this machine's DNS"
            } else {
                "correct the host in `address`, or mend this machine's DNS"
            }),
        ),
        (_, Cause::Refused) => (
            "connection_refused",
            Some(if is_webhook {
                "nobody listens there: start the receiver, or correct host and port in `url`"
            } else {
                "nobody listens there: start the receiver, or correct host and port in `address`"
            }),
        ),
        (_, Cause::Silent) => (
            "timeout",
            Some(
                "no answer in time: a firewall on the way, a wrong port, TLS where there is none, or a `timeout` that is too short",
            ),
        ),
        (SinkKind::Syslog(syslog), Cause::Certificate) => ("certificate", Some(certificate(syslog))),
        (_, Cause::Certificate) => (
            "certificate",
            Some(
                "put the authority that signed the receiver's certificate into `ca_file`; the certificate has to name the host in `url`",
            ),
        ),
        (_, Cause::Settings) => ("settings", None),
        (_, Cause::Busy) => (
            "busy",
            Some("alerts would wait and be sent again; if it stays so, ask its owner"),
        ),
        (_, Cause::Other) => ("not_taken", None),
    }
}

fn certificate(syslog: &SyslogConfig) -> &'static str {
    if syslog.client.is_none() {
        "`ca_file` has to hold the authority that signed the receiver's certificate, which has to name the host in `address` (or \
         `server_name`); where the receiver asks for a client's, set `client_cert_file` and `client_key_file`"
    } else {
        "`ca_file` has to hold the authority that signed the receiver's certificate, which has to name the host in `address` (or \
         `server_name`); the receiver has to trust the authority of `client_cert_file`"
    }
}
