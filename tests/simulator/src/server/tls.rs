//! A certificate authority that lives as long as the simulator, the server's certificates under it, and the choice of
//! the one that new connections see.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::crypto::ring::{default_provider, sign::any_supported_type};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, StoresServerSessions};
use rustls::sign::CertifiedKey;

use super::settings::Certificate;
use super::state::State;

/// TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// rustls refused it.
    #[error("cannot use the certificate: {0}")]
    Rustls(#[from] rustls::Error),
}

/// One server certificate for each way in which it may be wrong.
pub(super) struct Identities {
    good: Arc<CertifiedKey>,
    expired: Arc<CertifiedKey>,
    other_host: Arc<CertifiedKey>,
    unknown_ca: Arc<CertifiedKey>,
    /// The authority's certificate, PEM: what clients shall trust.
    pub(super) ca_pem: String,
}

type Issuer = CertifiedIssuer<'static, KeyPair>;

impl Identities {
    /// Makes an authority and all certificates.
    pub(super) fn make() -> Result<Self, TlsError> {
        let ours = authority("duo-simulator CA")?;
        let theirs = authority("somebody else's CA")?;
        Ok(Self {
            good: leaf(&ours, "localhost", false)?,
            expired: leaf(&ours, "localhost", true)?,
            other_host: leaf(&ours, "api-other.example", false)?,
            unknown_ca: leaf(&theirs, "localhost", false)?,
            ca_pem: ours.pem(),
        })
    }

    fn of(&self, certificate: Certificate) -> &Arc<CertifiedKey> {
        match certificate {
            Certificate::Good => &self.good,
            Certificate::Expired => &self.expired,
            Certificate::OtherHost => &self.other_host,
            Certificate::UnknownCa => &self.unknown_ca,
        }
    }
}

fn authority(name: &str) -> Result<Issuer, TlsError> {
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, name);
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?)
}

fn leaf(authority: &Issuer, host: &str, expired: bool) -> Result<Arc<CertifiedKey>, TlsError> {
    let mut names = vec![host.to_owned()];
    if host == "localhost" {
        names.extend(["127.0.0.1".to_owned(), "::1".to_owned()]);
    }
    let mut leaf = CertificateParams::new(names)?;
    leaf.distinguished_name.push(DnType::CommonName, host);
    leaf.use_authority_key_identifier_extension = true;
    if expired {
        // Any day that is over by every clock.
        leaf.not_before = rcgen::date_time_ymd(2020, 1, 1);
        leaf.not_after = rcgen::date_time_ymd(2020, 12, 31);
    }
    let key = KeyPair::generate()?;
    let leaf = leaf.signed_by(&key, authority)?;
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = any_supported_type(&private)?;
    Ok(Arc::new(CertifiedKey::new(vec![leaf.der().clone()], key)))
}

/// Shows each new connection the certificate that is in force.
struct Chooser {
    identities: Identities,
    state: Arc<State>,
}

impl std::fmt::Debug for Chooser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Chooser")
    }
}

impl ResolvesServerCert for Chooser {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let certificate = self.state.moving().certificate;
        Some(Arc::clone(self.identities.of(certificate)))
    }
}

/// Hands out tickets and knows none of them again: whoever resumed a session would see no certificate, and so not notice
/// another. Without tickets a client's first request waits for the acknowledgement of its handshake, some 40 ms.
#[derive(Debug)]
struct Forgetful;

impl StoresServerSessions for Forgetful {
    fn put(&self, _: Vec<u8>, _: Vec<u8>) -> bool {
        true
    }

    fn get(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn take(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn can_cache(&self) -> bool {
        true
    }
}

/// The server's side of TLS.
pub(super) fn config(identities: Identities, state: Arc<State>) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Chooser { identities, state }));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = Arc::new(Forgetful);
    Ok(Arc::new(config))
}
